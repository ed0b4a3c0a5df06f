"""Mixtures made on the fly: what an item is, and that it depends on seed and number alone."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from data_factory import TONES, loudest_hz, make_corpus, speech
from data_golden import FILE, ITEMS, make_cases, summarise

from avsep.data.activity import Pauses, TargetCases
from avsep.data.casts import Speakers
from avsep.data.cues import Enrolment, Geometry, Lips
from avsep.data.degradation import Babble, Noise
from avsep.data.effects import Clipping, Codec
from avsep.data.filters import BandLimit, Equaliser, Speed
from avsep.data.image_rooms import ImageRooms
from avsep.data.item import Item
from avsep.data.levels import AsRecorded, Loudness, level_of, scale_to
from avsep.data.lip_augment import Crop, Flip, SpanDropout, SyncJitter
from avsep.data.mixtures import Mixtures
from avsep.data.order import training_loader
from avsep.data.recipe import Recipe
from avsep.errors import InputError, UsageError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("corpus"), lips=True))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("sounds"), ("dan",), seconds=0.3))


def everything(manifest: str, sounds: str) -> Recipe:
    return speech(
        manifest,
        0.5,
        (1, 3),
        [Lips(2, changes=[SyncJitter(), Flip(), Crop(), SpanDropout()]), Enrolment(0.4), Geometry()],
        [
            Noise(sounds, p=0.8),
            Babble(0.5, talkers=(1, 2)),
            Clipping(0.5),
            Codec(0.3, formats=("vorbis", "ulaw")),
        ],
        scene={
            "speed": Speed(),
            "filters": [Equaliser(1.0), BandLimit(0.5)],
            "room": ImageRooms(p=1.0, rooms=2, order=3, early_seconds=0.05, microphones=2),
            "activity": Pauses(),
        },
    )


def same(a: Item, b: Item) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
        for x, y in zip(a.values(), b.values(), strict=True)
    )


def test_a_seed_gives_the_mixtures_it_always_gave(tmp_path: Path) -> None:
    known = json.loads(FILE.read_text(encoding="utf-8"))
    cases = make_cases(tmp_path)
    assert known.keys() == cases.keys()
    for name, data in cases.items():
        for number in range(ITEMS):
            for array, found in summarise(data, number).items():
                before = known[name][number][array]
                tolerance = 0.01 if array == "lips" else 1e-4  # pictures are warped by libraries of several versions
                assert found["shape"] == before["shape"], (name, array)
                assert found["level"] == pytest.approx(before["level"], abs=tolerance), (name, array)
                assert found["values"] == pytest.approx(before["values"], abs=tolerance), (name, array)


def test_plain_mixture_is_the_sum_of_two_speakers(manifest: str) -> None:
    data = Mixtures(speech(manifest, levels={"level_db": 6.0}))
    for n in range(8):
        item = data[n]
        mixture, sources = item["mixture"].numpy(), item["sources"].numpy()
        assert mixture.dtype == sources.dtype == np.float32
        assert mixture.shape == (1, 16_000)
        assert sources.shape == (2, 1, 16_000)
        assert np.allclose(mixture, sources.sum(0), atol=1e-6)
        drawn = [min(TONES, key=lambda name: abs(TONES[name] - loudest_hz(s[0]))) for s in sources]
        assert len(set(drawn)) == 2
        assert [data.names[label] for label in item["labels"]] == drawn
        levels = [level_of(source) for source in sources]
        assert abs(levels[0] - levels[1]) <= 6.01
        assert -38.01 < min(levels) <= max(levels) < -14.99


def test_an_item_depends_on_seed_and_number_alone(manifest: str, sounds: str) -> None:
    data = Mixtures(everything(manifest, sounds), seed=3)
    again = Mixtures(everything(manifest, sounds), seed=3)
    late = again[1_000_000_007]
    items = [data[n] for n in range(6)]
    # Another order, after other items, in another object, in another process.
    assert all(same(again[n], items[n]) for n in reversed(range(6)))
    assert same(data[1_000_000_007], late)
    assert same(pickle.loads(pickle.dumps(data))[2], items[2])
    other = Mixtures(everything(manifest, sounds), seed=4)
    assert not any(same(other[n], items[n]) for n in range(6))
    assert not same({**items[0], "name": ""}, {**items[1], "name": ""})


def test_workers_do_not_change_the_batches(manifest: str, sounds: str) -> None:
    data = Mixtures(everything(manifest, sounds))
    batches = [list(training_loader(data, 2, 6, workers)) for workers in (0, 2)]
    assert len(batches[0]) == 3
    assert all(same(a, b) for a, b in zip(*batches, strict=True))
    shapes = {name: tuple(value.shape) for name, value in batches[0][0].items() if isinstance(value, torch.Tensor)}
    assert shapes == {
        "mixture": (2, 2, 8000),
        "sources": (2, 3, 2, 8000),
        "labels": (2, 3),
        "lips": (2, 2, 13, 96, 96),
        "enrolment": (2, 3, 6400),
        "geometry": (2, 2, 3),
        "source_positions": (2, 3, 3),
    }


def test_number_of_speakers_is_drawn_and_missing_ones_are_silent(manifest: str) -> None:
    data = Mixtures(speech(manifest, 0.2, (1, 3)))
    items = [data[n] for n in range(60)]
    assert {int(item["sources"].any(-1).sum()) for item in items} == {1, 2, 3}
    for item in items:
        assert item["sources"].shape == (3, 1, 3200)
        assert item["labels"].dtype == torch.int64
        assert torch.equal(item["labels"] >= 0, item["sources"].any(-1)[:, 0])


def test_pauses_leave_one_alone_or_cut_a_part(manifest: str) -> None:
    alone = Mixtures(speech(manifest, 0.5, scene={"activity": Pauses(alone=1.0)}))
    assert [alone[n]["sources"].any(-1)[:, 0].tolist() for n in range(3)] == [[True, False]] * 3
    pauses = {"activity": Pauses(alone=0.0, partial=1.0), "levels": Loudness(level_db=0.0)}
    partial = Mixtures(speech(manifest, 0.5, scene=pauses))
    for n in range(6):
        first, second = partial[n]["sources"][:, 0].numpy()
        quiet = float((np.abs(second) < 1e-7).mean())
        assert float((np.abs(first) < 1e-7).mean()) < 0.05
        assert quiet > 0
        # A source that pauses is as loud where it is active as one that does not.
        if quiet < 0.8:
            assert np.sqrt((second**2).sum() / (np.abs(second) >= 1e-7).sum()) == pytest.approx(
                np.sqrt((first**2).mean()), rel=0.1
            )


def test_the_four_cases_of_a_target(manifest: str) -> None:
    cases = {"both": (1, 1), "target": (1, 0), "interference": (0, 1), "neither": (0, 0)}
    for name, expected in cases.items():
        weights = dict.fromkeys(cases, 0.0) | {name: 1.0}
        recipe = speech(manifest, 0.3, cues=[Lips(1, 0, 0)], scene={"activity": TargetCases(**weights)})
        item = Mixtures(recipe)[0]
        assert tuple(item["sources"].any(-1)[:, 0].int().tolist()) == expected
        assert item["lips"].shape == (1, 8, 96, 96)
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)


def test_microphones_make_mixture_and_sources_of_channels(manifest: str, sounds: str) -> None:
    room = ImageRooms(p=1.0, rooms=1, order=2, microphones=3)
    recipe = speech(manifest, 0.3, degradation=[Noise(sounds, p=1.0), Codec(1.0)], scene={"room": room})
    item = Mixtures(recipe)[0]
    assert item["mixture"].shape == (3, 4800)
    assert item["sources"].shape == (2, 3, 4800)
    for sound in (item["mixture"], *item["sources"]):
        assert not torch.allclose(sound[0], sound[2], atol=1e-4)


@pytest.mark.parametrize("p", [1.0, 0.0])
def test_what_reaches_each_microphone_is_the_sum_of_the_images(manifest: str, p: float) -> None:
    room = ImageRooms(p=p, rooms=1, order=4, t60=(0.3, 0.3), microphones=2)
    item = Mixtures(speech(manifest, 0.5, scene={"room": room}))[0]
    assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-5)
    # Without a room both microphones are at one place.
    assert torch.equal(item["mixture"][0], item["mixture"][1]) == (p == 0)


def test_early_target_is_quieter_than_what_arrives(manifest: str) -> None:
    def make(early: float | None) -> Item:
        room = ImageRooms(
            p=1.0, rooms=1, order=4, t60=(0.6, 0.6), distance=(2.0, 3.0), early_seconds=early, microphones=2
        )
        return Mixtures(speech(manifest, 0.8, scene={"room": room}))[0]

    whole, early = make(None), make(0.005)
    assert torch.allclose(whole["mixture"], whole["sources"].sum(0), atol=1e-5)
    for channel in (early["mixture"] - early["sources"].sum(0)).abs():
        assert channel.max() > 0.01


def test_recordings_may_keep_their_level(manifest: str) -> None:
    kept = Mixtures(speech(manifest, 0.5, scene={"levels": AsRecorded()}))[0]["sources"]
    assert [level_of(source) for source in kept.numpy()] == pytest.approx([-23.0, -23.0], abs=0.1)
    lifted = Mixtures(speech(manifest, 0.5, scene={"levels": AsRecorded((6.0, 6.0))}))[0]["sources"]
    assert [level_of(source) for source in lifted.numpy()] == pytest.approx([-17.0, -17.0], abs=0.1)


def test_other_rates_are_those_of_the_items(manifest: str) -> None:
    item = Mixtures(speech(manifest, 0.5, sample_rate=8000, cues=[Lips(1, 0, 0), Enrolment(0.5)]))[0]
    assert item["mixture"].shape == (1, 4000)
    assert item["lips"].shape == (1, 13, 96, 96)
    played = loudest_hz(item["sources"][0, 0].numpy(), 8000)
    assert min(abs(played - hz) for hz in TONES.values()) < 5
    assert loudest_hz(item["enrolment"][0].numpy(), 8000) == pytest.approx(played, abs=5)


def test_recipes_that_contradict_themselves(manifest: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the lips of 3 faces are shown, but Speakers draws 2 sources"):
        speech(manifest, cues=[Lips(3)])
    with pytest.raises(UsageError, match=r"Speakers: speakers is \(3, 2\); a range goes from low to high"):
        Speakers(manifest, (3, 2))
    with pytest.raises(UsageError, match=r"Recipe: seconds is -1.0; it must lie in 0.001 to 3600"):
        speech(manifest, -1.0)
    with pytest.raises(UsageError, match=r"cues are lips, lips; each may be there once"):
        speech(manifest, cues=[Lips(1), Lips(2)])
    with pytest.raises(UsageError, match=r"Speakers: no corpus is named; give a manifest.tsv or a packed folder"):
        Mixtures(speech(None))
    plain = make_corpus(tmp_path / "plain", ("ada",))
    with pytest.raises(InputError, match=r"1 speakers in split 'train', but a mixture has up to 2"):
        Mixtures(speech(plain))


def test_scaling() -> None:
    x = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    for part in (x, x[0]):
        assert level_of(part * scale_to(part, -25, 1000)) == pytest.approx(-25, abs=1e-3)
    assert np.isfinite(scale_to(np.zeros(10, np.float32), -25, 0))
