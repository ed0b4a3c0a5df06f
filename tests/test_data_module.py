"""The data of a configuration: every class of a recipe in YAML, and the batches that come of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from data_factory import make_corpus, make_songs, speech, tone
from tiny_training import TINY

from avsep.data.casts import Cast, Needs, Source
from avsep.data.corpus import Clip, SourcePool
from avsep.data.cues import Cue
from avsep.data.degradation import Degradation
from avsep.data.draft import Draft
from avsep.data.lists import FixedMixtures, MixtureSpec, Part
from avsep.data.mixtures import Mixtures
from avsep.data.module import SeparationData
from avsep.data.scene import Scene
from avsep.data.shards import StreamedMixtures
from avsep.errors import UsageError
from avsep.training.cli import FitCLI
from avsep.training.configuration import check_configuration
from preprocessing.make_shards import main as make_shards
from preprocessing.render_rooms import main as render_rooms


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), lips=True)


def node(name: str, **init_args: object) -> dict:
    return {"class_path": f"avsep.data.{name}", "init_args": init_args}


def config(manifest: Path, folder: Path) -> dict:
    """Every step there is for speakers."""
    changes = ("SyncJitter", "Flip", "Crop", "Warp", "Brightness", "Blur", "Grain", "Occlusion", "SpanDropout")
    recipe = {
        "seconds": 0.4,
        "cast": node("casts.Speakers", voices=str(manifest), speakers=[1, 3]),
        "scene": node(
            "scene.SimulatedScene",
            levels=node("levels.Loudness", loudness_db=[-30, -20]),
            speed={"factor": [0.9, 1.1]},
            filters=[node("filters.Equaliser", p=0.5), node("filters.BandLimit", high_hz=[3000, 7000])],
            room=node("image_rooms.ImageRooms", p=1.0, rooms=2, order=2, early_seconds=0.05, microphones=2),
            activity=node("activity.TargetCases"),
        ),
        "cues": [
            node("cues.Lips", shown=1, absent=0.1, changes=[node(f"lip_augment.{name}") for name in changes]),
            node("cues.Enrolment", seconds=0.3),
            node("cues.Geometry"),
        ],
        "degradation": [
            node("degradation.Noise", sounds=str(manifest), p=0.5, below_db=[0, 20]),
            node("degradation.Babble", talkers=[1, 2]),
            node("effects.Clipping"),
            node("effects.Codec", formats=["vorbis", "mp3"]),
        ],
    }
    train = node("mixtures.Mixtures", recipe=recipe)
    plain = {"seconds": 0.4, "cast": node("casts.Speakers", voices=str(manifest), split="dev")}
    dev = node("mixtures.Mixtures", items=3, seed=9, recipe=plain)
    task = {"model": {"class_path": "avsep.models.conv_tasnet.ConvTasNet", "init_args": dict(TINY)}}
    return {
        "model": {"class_path": "avsep.training.separation.SeparationTask", "init_args": task},
        "data": node("module.SeparationData", train=train, validation=dev, batch_size=2, epoch_items=8, workers=0),
        "trainer": {"default_root_dir": str(folder), "accelerator": "cpu", "logger": False},
    }


def build(config: dict, folder: Path, *options: str) -> SeparationData:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    return FitCLI(["--config", str(file), *options]).datamodule


@pytest.mark.slow
def test_a_recipe_is_read_from_yaml(manifest: Path, tmp_path: Path) -> None:
    data = build(config(manifest, tmp_path), tmp_path)
    batches = list(data.train_dataloader())
    assert len(batches) == 4
    shapes = {name: tuple(value.shape) for name, value in batches[0].items() if isinstance(value, torch.Tensor)}
    assert shapes == {
        "mixture": (2, 2, 6400),
        "sources": (2, 3, 2, 6400),
        "labels": (2, 3),
        "lips": (2, 1, 10, 96, 96),
        "enrolment": (2, 3, 4800),
        "geometry": (2, 2, 3),
        "source_positions": (2, 3, 3),
    }
    assert [name for batch in batches for name in batch["name"]] == [str(n) for n in range(8)]
    assert [len(batch["name"]) for batch in data.val_dataloader()] == [2, 1]
    assert data.test_dataloader() == []


def test_batches_keep_a_drawn_number_of_microphones(manifest: Path, tmp_path: Path) -> None:
    file = tmp_path / "rooms.npz"
    command = [str(file), "--rooms", "2", "--sources", "2", "--microphones", "4", "--order", "1", "--t60", "0.1", "0.1"]
    assert render_rooms([*command, "--workers", "1"]) == 0
    changed = config(manifest, tmp_path)
    changed["data"]["init_args"] |= {"epoch_items": 32, "microphones": [2, 4]}
    changed["data"]["init_args"]["train"]["init_args"]["recipe"] = {
        "seconds": 0.2,
        "cast": node("casts.Speakers", voices=str(manifest)),
        "scene": node("scene.SimulatedScene", room=node("rendered_rooms.RenderedRooms", path=str(file), microphones=4)),
        "cues": [node("cues.Geometry")],
    }
    data = build(changed, tmp_path)
    whole = data.train_set
    batches = list(data.train_dataloader())
    counts = []
    for first, batch in zip(range(0, 32, 2), batches, strict=True):
        counts.append(count := batch["mixture"].shape[1])
        assert batch["sources"].shape == (2, 2, count, 3200)
        assert batch["geometry"].shape == (2, count, 3)
        assert torch.equal(batch["mixture"][1], whole[first + 1]["mixture"][:count])
    assert set(counts) == {2, 3, 4}
    assert counts == [batch["mixture"].shape[1] for batch in data.train_dataloader()]
    with pytest.raises(UsageError, match=r"items have 4 channels, and microphones is \(2, 5\); make data of 5"):
        next(iter(SeparationData(whole, batch_size=2, workers=0, microphones=(2, 5)).train_dataloader()))
    with pytest.raises(UsageError, match=r"microphones is \(3, 2\); give the fewest, 1 or more, and the most"):
        SeparationData(whole, microphones=(3, 2))


@pytest.mark.slow
def test_every_cast_is_read_from_yaml(manifest: Path, tmp_path: Path) -> None:
    songs = str(make_songs(tmp_path / "songs", {"one": ("bass", "vocals")}, seconds=0.3))
    recorded = node("scene.SimulatedScene", levels=node("levels.AsRecorded", gain_db=[-3, 3]))
    events = node("casts.SoundEvents", sounds=str(manifest), events=[1, 2])
    casts = {
        "stems": (node("casts.Stems", songs=songs, stems=["vocals", "bass"], p_remix=0.5), recorded, 44_100, (2, 2, 2)),
        "events": (events, None, 16_000, (2, 2, 1)),
        "mixit": (node("casts.MixturesOfMixtures", cast=events, mixtures=2), None, 16_000, (2, 2, 1)),
    }
    for cast, scene, rate, shape in casts.values():
        changed = config(manifest, tmp_path)
        recipe = {"seconds": 0.2, "sample_rate": rate, "cast": cast} | ({"scene": scene} if scene else {})
        changed["data"]["init_args"]["train"]["init_args"]["recipe"] = recipe
        batch = next(iter(build(changed, tmp_path).train_dataloader()))
        assert batch["sources"].shape == (*shape, rate // 5)


def test_steps_are_changed_on_the_command_line(manifest: Path, tmp_path: Path) -> None:
    key = "--data.init_args.train.init_args.recipe"
    data = build(
        config(manifest, tmp_path),
        tmp_path,
        f"{key}.cast.init_args.only=[ada, bob, cyd]",
        f"{key}.seconds=0.2",
        f"{key}.scene.init_args.activity.init_args.both=0.5",
    )
    recipe = data.train_set.recipe
    assert (recipe.cast.only, recipe.cast.voices) == (["ada", "bob", "cyd"], str(manifest))
    assert recipe.seconds == 0.2
    assert recipe.scene.activity.both == 0.5


@pytest.mark.slow
def test_the_recipes_of_the_documentation_are_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    # Those of labelled sounds are of another data module.
    blocks = [b for b in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if b.startswith("class_path")]
    assert len(blocks) == 3
    for block in blocks:
        data = node("module.SeparationData", train=yaml.safe_load(block))
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"data": data}))
        check_configuration([tmp_path / "config.yaml"])
        # Its values are right as well; what stops it are the files that are not here.
        changed = config(tmp_path / "none.tsv", tmp_path) | {"data": data}
        with pytest.raises(UsageError, match=r"no such manifest"):
            build(changed, tmp_path)


class Beeps(Cast):
    """Two tones that nobody recorded."""

    places = 2
    names = ("low", "high")

    def prepare(self, needs: Needs, pool: SourcePool | None = None) -> None:
        self.rate = needs.sample_rate

    def draw(self, rng: np.random.Generator) -> list[Beep]:
        return [Beep(hz, self.rate, label) for label, hz in enumerate((300, 900))]


class Beep(Source):
    def __init__(self, hz: int, rate: int, label: int) -> None:
        self.hz, self.rate, self.label = hz, rate, label

    def read(self, rng: np.random.Generator, length: int, faces: bool = False) -> Clip:
        return Clip(tone(self.hz, length / self.rate, self.rate)[None])


@dataclass
class Sum(Scene):
    """Sources as they are."""

    gain: float = 1.0

    def add(self, draft: Draft, slot: int, sound: np.ndarray, rng: np.random.Generator) -> None:
        draft.targets[slot] = self.gain * sound
        draft.mixture += draft.targets[slot]


@dataclass(frozen=True)
class Pitch(Cue):
    name = "pitch"

    def finish(self, draft: Draft) -> None:
        draft.cues["pitch"] = np.array([source.hz for source in draft.sources])


@dataclass(frozen=True)
class Turned(Degradation):
    """The mixture with another sign."""

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        return -mixture


def test_every_step_may_be_of_ones_own(manifest: Path, tmp_path: Path) -> None:
    recipe = {
        "seconds": 0.2,
        "cast": {"class_path": "test_data_module.Beeps"},
        "scene": {"class_path": "test_data_module.Sum", "init_args": {"gain": 0.5}},
        "cues": [{"class_path": "test_data_module.Pitch"}],
        "degradation": [{"class_path": "test_data_module.Turned"}],
    }
    changed = config(manifest, tmp_path)
    changed["data"]["init_args"]["train"]["init_args"]["recipe"] = recipe
    item = build(changed, tmp_path).train_set[0]
    assert item["pitch"].tolist() == [300, 900]
    assert item["labels"].tolist() == [0, 1]
    assert torch.equal(item["mixture"], -item["sources"].sum(0))
    assert np.allclose(item["sources"][1, 0], 0.5 * tone(900, 0.2), atol=1e-6)


def test_types_of_options_are_checked(manifest: Path, tmp_path: Path) -> None:
    for step, option, value, message in (
        ("cast", "speakers", ["two", 3], r"speakers\[0\] is 'two'; expected int"),
        ("cast", "split", 3, "split is 3; expected str"),
        ("scene", "speed", {"factor": "fast"}, "factor is 'fast'; expected list"),
        ("scene", "room", node("activity.Pauses"), "Pauses does not correspond to a subclass of Rooms"),
    ):
        changed = config(manifest, tmp_path)
        changed["data"]["init_args"]["train"]["init_args"]["recipe"][step]["init_args"][option] = value
        with pytest.raises(UsageError, match=message):
            build(changed, tmp_path)


@pytest.mark.slow
def test_what_is_wrong_in_yaml_is_named(manifest: Path, tmp_path: Path) -> None:
    def changed(change) -> None:
        one = config(manifest, tmp_path)
        change(one["data"]["init_args"]["train"]["init_args"])
        build(one, tmp_path)

    def init(train: dict, step: str) -> dict:
        return train["recipe"][step]["init_args"]

    with pytest.raises(UsageError, match=r"gone.tsv: no such manifest"):
        changed(lambda train: init(train, "cast").update(voices=str(tmp_path / "gone.tsv")))
    with pytest.raises(UsageError, match=r"Noise: p is 2.0; it must lie in 0 to 1"):
        changed(lambda train: train["recipe"]["degradation"][0]["init_args"].update(p=2.0))
    with pytest.raises(UsageError, match=r"unknown key .*recipe.secondz, did you mean seconds"):
        changed(lambda train: train["recipe"].update(secondz=2.0))
    # Keys of before the steps.
    with pytest.raises(
        UsageError, match=r"unknown key .*train.init_args.voices; the keys there are recipe, items, seed"
    ):
        changed(lambda train: train.update(voices=str(manifest)))
    with pytest.raises(UsageError, match=r"recipe.speed.*the keys there are cast, seconds, scene, cues, degradation"):
        changed(lambda train: train["recipe"].update(speed={"factor": [0.9, 1.1]}))


def test_fixed_lists_and_streams_are_data_as_well(manifest: Path, tmp_path: Path) -> None:
    voice = Part(manifest.parent / "ada2.wav", None, "ada", "voice", 0.0, 1.0)
    listed = FixedMixtures([MixtureSpec(str(n), 0.3, (voice, voice)) for n in range(3)])
    assert make_shards([str(manifest), str(tmp_path), "--workers", "1"]) == 0
    stream = StreamedMixtures(str(tmp_path), speech(None, 0.3), items=4, pool=6)
    data = SeparationData(stream, validation=listed, test=listed, batch_size=2, workers=0, validation_batch_size=1)
    assert [batch["sources"].shape for batch in data.train_dataloader()] == [(2, 2, 1, 4800)] * 2
    assert [batch["name"] for batch in data.val_dataloader()] == [["0"], ["1"], ["2"]]
    assert len(list(data.test_dataloader())) == 3
    listed_training = SeparationData(listed, batch_size=2, epoch_items=8, workers=0)
    assert [n for batch in listed_training.train_dataloader() for n in batch["name"]] == list("01201201")


def test_impossible_sizes_are_named(manifest: Path) -> None:
    data = Mixtures(speech(manifest, 0.1))
    with pytest.raises(UsageError, match="batch_size is 0; it must be 1 or more"):
        SeparationData(data, batch_size=0)
    with pytest.raises(UsageError, match="workers is -1; it must be 0 or more"):
        SeparationData(data, workers=-1)
