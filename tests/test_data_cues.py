"""Cues: lips go with the sound, enrolment is of another utterance, positions are those of the room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from data_factory import TONES, loudest_hz, make_corpus, speech

from avsep.data.casts import SoundEvents, Speakers, Stems
from avsep.data.casts.base import Source
from avsep.data.cues import Delays, Enrolment, Face, Geometry, Lips
from avsep.data.draft import Draft
from avsep.data.filters import Speed
from avsep.data.image_rooms import ImageRooms
from avsep.data.levels import AsRecorded
from avsep.data.lip_augment import Flip, SpanDropout, SyncJitter
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rooms import DecayRooms
from avsep.data.scene import SimulatedScene
from avsep.errors import InputError, UsageError


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("corpus"), lips=True))


def test_speed_moves_pitch_and_lips_together(manifest: str) -> None:
    recipe = speech(manifest, 0.6, cues=[Lips(1, 0, 0)], scene={"speed": Speed((1.25, 1.25))}, only=["ada", "bob"])
    item = Mixtures(recipe)[0]
    played = loudest_hz(item["sources"][0, 0].numpy())
    assert min(abs(played - 1.25 * TONES[name]) for name in ("ada", "bob")) < 4
    numbers = item["lips"][0, :, 0, 0].mul(255).round()
    # 15 pictures of the output show 18.75 of the file.
    assert numbers.shape == (15,)
    assert (numbers[-1] - numbers[0]).item() in (17, 18)


def test_silent_and_absent_faces_have_a_silent_target(manifest: str) -> None:
    silent = Mixtures(speech(manifest, 0.6, cues=[Lips(1, silent=1.0, absent=0.0, still=1.0)]))[0]
    assert not silent["sources"][0].any()
    assert silent["labels"][0] == -1
    assert torch.allclose(silent["mixture"], silent["sources"][1], atol=1e-7)
    assert (silent["lips"][0] == silent["lips"][0, :1]).all()
    assert silent["lips"].min() > 0
    moving = Mixtures(speech(manifest, 0.6, cues=[Lips(1, silent=1.0, absent=0.0, still=0.0)]))[0]
    assert (moving["lips"][0].diff(dim=0) > 0).all()
    absent = Mixtures(speech(manifest, 0.6, cues=[Lips(1, silent=0.0, absent=1.0)]))[0]
    assert not absent["lips"].any()
    assert not absent["sources"][0].any()
    # The speaker goes on out of the picture.
    assert (absent["mixture"] - absent["sources"].sum(0)).abs().max() > 0.01


def test_speakers_without_a_face_may_come_from_elsewhere(tmp_path: Path, manifest: str) -> None:
    faces, plain = [Lips(1, silent=0.0, absent=0.0)], str(make_corpus(tmp_path / "plain", ("dan",)))
    data = Mixtures(speech(manifest, 0.6, cues=faces, only=["ada", "bob"], unseen=plain))
    assert data.names == ["ada", "bob", "dan"]
    for number in range(6):
        item = data[number]
        assert item["lips"].shape[0] == 1
        own = loudest_hz(item["sources"][0, 0].numpy())
        assert own == pytest.approx(TONES[data.names[item["labels"][0]]], abs=9)
        assert loudest_hz(item["sources"][1, 0].numpy()) == pytest.approx(TONES["dan"], abs=9)
        assert item["labels"][1] == 2
    with pytest.raises(UsageError, match=r"unseen is .*, but no lips are shown; give the recipe the cue Lips"):
        Mixtures(speech(manifest, unseen=plain))
    with pytest.raises(InputError, match=r"1 speakers in split 'train', but a mixture has up to 2"):
        Mixtures(speech(manifest, speakers=(3, 3), cues=faces, unseen=plain))


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Utterance k of a speaker holds the value k + 1 over 64 all along, those of one speaker negated; one has a single
    utterance."""
    manifest = make_corpus(tmp_path, ("ada", "bob", "cyd"), seconds=0.4)
    for name, sign in (("ada", 1), ("bob", -1)):
        for number in range(2):
            values = np.full(6400, sign * (number + 1) / 64, np.float32)
            sf.write(tmp_path / f"{name}{number}.wav", values, 16_000, subtype="FLOAT")
    lines = [line for line in manifest.read_text().splitlines() if not line.startswith("cyd1")]
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def test_enrolment_is_another_utterance_of_the_same_speaker(numbered: Path) -> None:
    # Longer than any utterance: what is mixed, and what is enrolled, begins again.
    recipe = speech(numbered, 0.9, cues=[Enrolment(0.7)], scene={"levels": AsRecorded()})
    data = Mixtures(recipe)
    assert data.names == ["ada", "bob"], "a speaker with one utterance cannot be enrolled"
    pairs = set()
    for n in range(12):
        item = data[n]
        assert item["enrolment"].shape == (2, 11_200)
        for enrolled, source in zip(item["enrolment"], item["sources"], strict=True):
            assert set(enrolled.tolist()) == {enrolled[0].item()}
            assert set(source.flatten().tolist()) == {source[0, 0].item()}
            assert enrolled[0].sign() == source[0, 0].sign()
            assert enrolled[0] != source[0, 0]
            pairs.add((enrolled[0].item(), source[0, 0].item()))
    assert len(pairs) == 4


def test_silent_speakers_are_enrolled_too(numbered: Path) -> None:
    recipe = speech(numbered, 0.2, (1, 2), [Enrolment(0.2)], scene={"levels": AsRecorded()})
    items = [Mixtures(recipe)[n] for n in range(12)]
    alone = [item for item in items if not item["sources"][1].any()]
    assert 0 < len(alone) < 12
    assert all(item["enrolment"].abs().min() > 0 for item in items)


def test_classes_of_sounds_have_examples_as_enrolment(tmp_path: Path) -> None:
    sounds = str(make_corpus(tmp_path, ("ada", "bob"), seconds=0.3))
    item = Mixtures(Recipe(SoundEvents(sounds, (2, 2)), 1.0, cues=[Enrolment(0.5)]))[0]
    for enrolled, label in zip(item["enrolment"].numpy(), item["labels"], strict=True):
        assert loudest_hz(enrolled) == pytest.approx(TONES[("ada", "bob")[label]], abs=5)


def test_geometry_is_that_of_the_room_of_the_item(manifest: str) -> None:
    room = ImageRooms(p=1.0, rooms=3, order=2, microphones=4)
    recipe = speech(manifest, 0.2, cues=[Geometry()], scene={"room": room})
    data, known = Mixtures(recipe), {tuple(one.microphones.ravel().round(4)): one for one in room.bank}
    places = set()
    for n in range(6):
        item = data[n]
        assert item["geometry"].dtype == torch.float32
        one = known[tuple(item["geometry"].numpy().astype(np.float64).ravel().round(4))]
        away = torch.cdist(item["source_positions"].double(), torch.from_numpy(one.places))
        assert away.min(1).values.max() < 1e-5
        places.add(tuple(away.argmin(1).tolist()))
    assert len(places) > 1


@pytest.mark.parametrize("room", [None, DecayRooms(p=1.0), ImageRooms(p=0.5)])
def test_geometry_needs_a_room_whose_positions_are_known(manifest: str, room: object) -> None:
    with pytest.raises(UsageError, match=r"geometry needs a room with positions for every item; .*ImageRooms with p 1"):
        speech(manifest, cues=[Geometry()], scene={"room": room})


def test_a_cue_needs_a_cast_that_can_make_it() -> None:
    with pytest.raises(UsageError, match=r"the cue lips cannot be made of SoundEvents; cues it can make: enrolment"):
        Recipe(SoundEvents("none", (2, 2)), cues=[Lips(1)])
    with pytest.raises(UsageError, match=r"the cue enrolment cannot be made of Stems; cues it can make: none"):
        Recipe(Stems("none", ["vocals"]), cues=[Enrolment()])
    with pytest.raises(UsageError, match=r"Enrolment: seconds is 0.0; it must lie in 0.001 to 3600"):
        Enrolment(0.0)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus with embeddings: that of picture k is all k + 1."""
    manifest = make_corpus(tmp_path_factory.mktemp("embedded"), lips=True)
    for file in manifest.parent.glob("*.npz"):
        with np.load(file) as arrays:
            numbers = np.arange(1, len(arrays["lips"]) + 1, dtype=np.float32)
            np.savez(file, **arrays, face=numbers[:, None].repeat(512, 1))
    return str(manifest)


def test_embeddings_go_with_the_lips(embedded: str) -> None:
    both = [Lips(2, 0, 0), Face(2, 0, 0)]
    item = Mixtures(speech(embedded, 0.6, cues=both, scene={"speed": Speed((1.25, 1.25))}))[0]
    assert (item["face"].shape, item["face"].dtype) == ((2, 15, 512), torch.float32)
    assert torch.equal(item["face"][..., 7], item["lips"][..., 0, 0].mul(255).round())
    alone = Mixtures(speech(embedded, 0.6, cues=[Face(1, 0, 0)]))[0]
    assert set(alone) == {"mixture", "sources", "labels", "name", "face"}
    silent = Mixtures(speech(embedded, 0.6, cues=[Face(1, silent=1.0, absent=0.0, still=1.0)]))[0]
    assert (silent["face"][0] == silent["face"][0, :1]).all()
    assert not silent["sources"][0].any()
    assert not Mixtures(speech(embedded, 0.6, cues=[Face(1, silent=0.0, absent=1.0)]))[0]["face"].any()


def test_embeddings_may_be_lost_and_late_but_have_no_pixels(embedded: str) -> None:
    lost = Face(2, 0, 0, changes=[SpanDropout(p=1.0, frozen=0.0), SyncJitter()])
    faces = Mixtures(speech(embedded, 0.6, cues=[lost]))[1]["face"]
    assert (faces == 0).all(2).any()
    assert (faces > 0).any()
    with pytest.raises(UsageError, match="Face: Flip changes pixels, and embeddings have none; changes may be SpanDr"):
        Face(changes=[Flip()])
    with pytest.raises(UsageError, match="Face: shown is 0; it must be 1 or more"):
        Face(shown=0)


def test_a_corpus_without_embeddings_is_named(manifest: str, tmp_path: Path) -> None:
    data = Mixtures(speech(manifest, 0.6, cues=[Face(2, 0, 0)]))
    with pytest.raises(InputError, match=r"manifest.tsv, utterance .*no face can be read: .* with --face-embeddings"):
        data[0]
    with pytest.raises(UsageError, match="the cue face cannot be made of SoundEvents"):
        Recipe(SoundEvents("anywhere"), cues=[Face(1)])


def test_delays_are_those_of_the_room() -> None:
    room = ImageRooms(p=1, rooms=2, microphones=3, order=1, seed=3)
    recipe = Recipe(Speakers("anywhere"), cues=[Delays()], scene=SimulatedScene(room=room))
    room.prepare(3, 16_000)
    rng = np.random.default_rng(0)
    for off in (0.0, 10.0):
        cue = Delays(off)
        draft = Draft(recipe.cast, [Source(), Source()], 100, 16_000, 3, room.draw(rng, 3, 16_000))
        cue.plan(draft, rng)
        cue.finish(draft)
        found = draft.cues["delays"]
        assert (found.shape, found.dtype) == ((2, 3), np.float32)
        far = np.linalg.norm(draft.room.places[:2, None] - draft.room.microphones, axis=2)
        expected = (far - far[:, :1]) / 343
        assert np.allclose(found, expected, atol=1e-7) == (off == 0)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(UsageError, match="off_degrees"):
        Delays(off_degrees=-1.0)


def test_delays_need_a_room_with_positions() -> None:
    with pytest.raises(UsageError, match="the cue delays needs a room with positions for every item"):
        Recipe(Speakers("anywhere"), cues=[Delays()], scene=SimulatedScene(room=DecayRooms()))
