"""The data of a configuration: every class of a recipe in YAML, and the batches that come of it."""

from pathlib import Path

import pytest
import torch
import yaml
from data_factory import make_corpus
from tiny_training import TINY

from avsep.data.lists import FixedMixtures, MixtureSpec, Part
from avsep.data.mixtures import Mixtures, Recipe
from avsep.data.module import SeparationData
from avsep.data.shards import StreamedMixtures
from avsep.data.talking import TalkingData
from avsep.errors import InputError, UsageError
from avsep.training.cli import FitCLI
from preprocessing.make_shards import main as make_shards


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), lips=True)


def node(name: str, **init_args: object) -> dict:
    return {"class_path": f"avsep.data.{name}", "init_args": init_args}


def config(manifest: Path, folder: Path) -> dict:
    """Every augmentation there is."""
    recipe = {
        "seconds": 0.4,
        "speakers": [1, 3],
        "speed": {"factor": [0.9, 1.1]},
        "filters": [node("augment.Equaliser", share=0.5), node("augment.BandLimit", high_hz=[3000, 7000])],
        "room": node("rooms.ImageRooms", rooms=2, order=2, early_seconds=0.05),
        "activity": node("augment.TargetCases"),
        "noise": {"sounds": str(manifest), "share": 0.5, "below_db": [0, 20]},
        "damage": [node("augment.Clipping"), node("augment.Codec", formats=["vorbis", "mp3"])],
        "faces": {"shown": 1, "silent": 0.1, "absent": 0.1},
        "lips": [
            node(f"lip_augment.{name}")
            for name in (
                "SyncJitter",
                "Flip",
                "Crop",
                "Warp",
                "Brightness",
                "Blur",
                "Grain",
                "Occlusion",
                "SpanDropout",
            )
        ],
    }
    train = node("mixtures.Mixtures", voices=str(manifest), recipe=recipe)
    dev = node("mixtures.Mixtures", voices=str(manifest), split="dev", items=3, seed=9, recipe={"seconds": 0.4})
    task = {"model": {"class_path": "avsep.models.conv_tasnet.ConvTasNet", "init_args": dict(TINY)}}
    return {
        "model": {"class_path": "avsep.training.separation.SeparationTask", "init_args": task},
        "data": node("module.SeparationData", train=train, validation=dev, batch_size=2, epoch_items=8, workers=0),
        "trainer": {"default_root_dir": str(folder), "accelerator": "cpu", "logger": False},
    }


def test_a_recipe_is_read_from_yaml(manifest: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump(config(manifest, tmp_path)))
    data = FitCLI(["--config", str(file)]).datamodule
    batches = list(data.train_dataloader())
    assert len(batches) == 4
    assert batches[0]["mixture"].shape == (2, 6400)
    assert batches[0]["sources"].shape == (2, 3, 6400)
    assert batches[0]["lips"].shape == (2, 1, 10, 96, 96)
    assert [name for batch in batches for name in batch["name"]] == [str(n) for n in range(8)]
    assert [len(batch["name"]) for batch in data.val_dataloader()] == [2, 1]
    assert data.test_dataloader() == []


def test_what_is_wrong_in_yaml_is_named(manifest: Path, tmp_path: Path) -> None:
    def build(change) -> None:
        changed = config(manifest, tmp_path)
        change(changed["data"]["init_args"]["train"]["init_args"])
        file = tmp_path / "bad.yaml"
        file.write_text(yaml.safe_dump(changed))
        FitCLI(["--config", str(file)])

    with pytest.raises(UsageError, match=r"gone.tsv: no such manifest"):
        build(lambda train: train.update(voices=str(tmp_path / "gone.tsv")))
    with pytest.raises(UsageError, match=r"share"):
        build(lambda train: train["recipe"]["noise"].update(share=2.0))
    with pytest.raises(UsageError, match=r"secondz"):
        build(lambda train: train["recipe"].update(secondz=2.0))


def test_fixed_lists_and_streams_are_data_as_well(manifest: Path, tmp_path: Path) -> None:
    voice = Part(manifest.parent / "ada2.wav", None, "ada", "voice", 0.0, 1.0)
    listed = FixedMixtures([MixtureSpec(str(n), 0.3, (voice, voice)) for n in range(3)])
    assert make_shards([str(manifest), str(tmp_path), "--workers", "1"]) == 0
    stream = StreamedMixtures(str(tmp_path), Recipe(seconds=0.3), items=4, pool=6)
    data = SeparationData(stream, validation=listed, test=listed, batch_size=2, workers=0, validation_batch_size=1)
    assert [batch["sources"].shape for batch in data.train_dataloader()] == [(2, 2, 4800)] * 2
    assert [batch["name"] for batch in data.val_dataloader()] == [["0"], ["1"], ["2"]]
    assert len(list(data.test_dataloader())) == 3
    listed_training = SeparationData(listed, batch_size=2, epoch_items=8, workers=0)
    assert [n for batch in listed_training.train_dataloader() for n in batch["name"]] == list("01201201")


def test_impossible_sizes_are_named(manifest: Path) -> None:
    data = Mixtures(str(manifest), Recipe(seconds=0.1))
    with pytest.raises(UsageError, match="batch_size is 0; it must be 1 or more"):
        SeparationData(data, batch_size=0)
    with pytest.raises(UsageError, match="workers is -1; it must be 0 or more"):
        SeparationData(data, workers=-1)


def test_windows_of_talking_faces(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ("ada", "bob", "cyd"), seconds=3.0, lips=True)
    for file in tmp_path.glob("*.npz"):
        _with_sound(file, 3.0)
    data = TalkingData(str(tmp_path), str(manifest), held_out=["cyd"], batch_size=2, epoch_items=4, workers=0)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    assert batches[0]["lips"].shape == (2, 50, 96, 96)
    assert batches[0]["audio"].shape == batches[0]["shifted"].shape == (2, 32_000)
    assert torch.equal(data.train_set[7]["audio"], data.train_set[7]["audio"])
    plain = data.dev_set[0]
    numbers = plain["lips"][:, 0, 0].mul(255).round()
    assert (numbers.diff() == 1).all()
    # The sound of picture k is k / 100 in these files.
    assert torch.allclose(plain["audio"][320::640] * 100, numbers, atol=0.02)
    assert not torch.equal(plain["audio"], plain["shifted"])
    with pytest.raises(InputError, match="no clip of more than 62 pictures of zed"):
        TalkingData(str(tmp_path), held_out=["zed"], workers=0).setup("fit")
    bare = make_corpus(tmp_path / "bare", ("ada",))
    with pytest.raises(InputError, match=r"manifest.tsv: no row has lips.*preprocessing.extract_lips"):
        TalkingData(str(bare)).setup("fit")


def test_windows_of_several_corpora_are_drawn_by_their_shares(tmp_path: Path) -> None:
    folders = [tmp_path / "few", tmp_path / "many"]
    for folder, speakers in zip(folders, (("ada", "bob"), ("cyd", "dan")), strict=True):
        make_corpus(folder, speakers, seconds=3.0, lips=True)
        for file in folder.glob("*.npz"):
            _with_sound(file, 3.0)
    paths = [str(folder) for folder in folders]
    data = TalkingData(paths, held_out=["bob"], shares=[3.0, 1.0], workers=0)
    data.setup("fit")
    # One speaker of the first corpus is left, and has its whole share.
    assert [group[0][0] for group in data.train_set.groups] == ["ada", "cyd", "dan"]
    assert data.train_set.weights == pytest.approx([3 / 4, 1 / 8, 1 / 8])
    assert {group[0][0] for group in data.dev_set.groups} == {"bob"}
    with pytest.raises(UsageError, match=r"shares is \[1.0\]; it must be one number above 0 for each of 2 corpora"):
        TalkingData(paths, shares=[1.0]).setup("fit")


def _with_sound(file: Path, seconds: float) -> None:
    import numpy as np

    with np.load(file) as old:
        arrays = {**old, "audio": np.repeat(np.arange(1, 25 * seconds + 1) * 327.68, 640).astype(np.int16)}
    np.savez(file, **arrays)
