"""Routing of scenes to modes, and the branches of those with faces and of sounds, with stub models of known outputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from stub_models import Gains, Lips
from stub_scenes import Store, both, person, scene

import avsep.modes.lips_condition as lips_condition
import avsep.modes.lips_match as lips_match
from avsep.checkpoint import load_model
from avsep.errors import UsageError
from avsep.media.probe import VideoInfo
from avsep.models.base import Contract, Output
from avsep.modes import MODES
from avsep.modes.array import Array
from avsep.modes.by_sound import BySound
from avsep.modes.guided import Guided
from avsep.modes.lips_condition import LipsCondition
from avsep.modes.lips_match import LipsMatch
from avsep.modes.people_cues import PeopleCues, lips
from avsep.modes.universal import Universal
from avsep.modes.voices import default_models
from avsep.pipeline import Separator
from avsep.signals import LIP_SIZE, Track, Tracks
from avsep.storage.recording import Estimates

VOICES = Contract(16_000)
LIPS = Contract(16_000, cues=("lips",), sources=None, order="cue")
SOUNDS = Contract(16_000, kind="sound")
ARRAY = Contract(16_000, channels=(2, 8))
ARRAY_LIPS = dataclasses.replace(LIPS, channels=(2, 8))


@pytest.mark.parametrize(
    ("contract", "faces", "channels", "model", "expected"),
    [
        (VOICES, 0, 1, None, BySound),
        (VOICES, 2, 1, None, LipsMatch),
        (VOICES, 1, 2, None, LipsMatch),
        (VOICES, 0, 4, None, Array),
        (VOICES, 0, 4, "given", BySound),
        (VOICES, 2, 4, None, Guided),
        (VOICES, 2, 4, "given", Guided),
        (LIPS, 1, 1, None, LipsCondition),
        (LIPS, 1, 4, "given", LipsCondition),
        (ARRAY_LIPS, 1, 4, "given", LipsCondition),
        (SOUNDS, 0, 1, "given", Universal),
        (SOUNDS, 2, 2, "given", Universal),
        (ARRAY, 0, 4, "given", Array),
        (ARRAY, 2, 4, "given", Array),
    ],
)
def test_a_scene_goes_to_the_mode_that_fits(contract, faces, channels, model, expected):
    made = scene(Store(), people=[person()] * faces, model=model, channels=channels)
    chosen = Separator(device="cpu")._mode(made, contract)
    assert type(chosen) is expected


@pytest.mark.parametrize(
    ("contract", "channels", "message"),
    [
        (LIPS, 1, "cannot separate clip.wav: it needs faces, and the clip shows none"),
        (ARRAY, 1, "it takes 2 to 8 channels, and the clip has 1"),
        (ARRAY, 9, "it takes 2 to 8 channels, and the clip has 9"),
        (Contract(16_000, cues=("enrolment",), order="cue", sources=None), 1, "it needs enrolment"),
    ],
)
def test_a_scene_that_no_mode_fits_says_why(contract, channels, message):
    with pytest.raises(UsageError, match=message):
        Separator(device="cpu")._mode(scene(Store(), channels=channels), contract)


@pytest.mark.parametrize(
    ("contract", "pictures", "message"),
    [
        (ARRAY, True, "it takes 2 to 8 channels, and the clip has 1"),
        (ARRAY_LIPS, True, "it takes 2 to 8 channels, and the clip has 1"),
        (dataclasses.replace(SOUNDS, channels=(4, 4)), True, "it takes 4 channels, and the clip has 1"),
        (LIPS, False, "it needs faces, and the clip shows none"),
    ],
)
def test_a_clip_that_cannot_fit_is_refused_before_faces_are_searched(contract, pictures, message):
    made = scene(Store())
    made.searched = False
    made.clip = dataclasses.replace(made.clip, video=VideoInfo(0, 64, 64, 25.0, 0, 0.0) if pictures else None)
    with pytest.raises(UsageError, match=message):
        Separator(device="cpu")._mode(made, contract)


def test_before_faces_are_searched_a_clip_with_pictures_may_have_some():
    made = scene(Store())
    made.searched = False
    made.clip = dataclasses.replace(made.clip, video=VideoInfo(0, 64, 64, 25.0, 0, 0.0))
    assert type(Separator(device="cpu")._mode(made, LIPS)) is LipsCondition


def test_a_mode_of_ones_own_is_asked_first():
    class Everything:
        def misfit(self, scene, contract):
            return None

        def __call__(self, scene) -> Tracks:
            raise AssertionError

    mine = Everything()
    separator = Separator(device="cpu", modes=(mine, *MODES))
    assert separator._mode(scene(Store()), VOICES) is mine


def test_the_bundled_models_for_a_number_of_voices():
    assert default_models(None) == default_models(3) == ["audio-2spk", "split-3spk", "ensemble-2spk"]
    assert default_models(1) == default_models(2) == ["ensemble-2spk"]


def test_the_models_of_the_defaults_are_bundled_and_fit():
    for name, channels in (("split-3spk", 1), ("ensemble-2spk", 1), ("array-2spk", 4), ("fastica", 4)):
        model, _ = load_model(name)
        assert model.contract.takes(channels)
        assert model.contract.kind == "voice"


def test_people_without_any_voice_have_silent_tracks(monkeypatch):
    monkeypatch.setattr(lips_match, "lip_matcher", lambda scene: Lips(2, []))
    tracks = LipsMatch()(scene(Store(none=Gains([], sources=None)), people=[person(), person()], model="none"))
    assert [t.kind for t in tracks.tracks] == ["person"] * 2
    assert tracks.gains.shape == (2, 0, 100)


def test_sounds_are_tracks_with_labels_and_no_speech():
    names = ("drums", "rest")
    store = Store(stems=Gains([0.7, 0.3], sample_rate=44_100, order="named", names=names, kind="stem", channels=(2, 2)))
    tracks = Universal()(scene(store, model="stems", channels=2, rate=44_100))
    assert [(t.name, t.kind, t.label, t.speech) for t in tracks.tracks] == [
        ("source_00", "stem", "drums", None),
        ("source_01", "stem", "rest", None),
    ]
    assert (tracks.mode, tracks.sources.sample_rate, tracks.sources.channels) == ("universal", 44_100, 2)
    assert tracks.gains.shape == (2, 2, 100)


def test_lips_are_read_by_time_and_offset_for_those_who_are_there():
    people = [person(0, 50, 10), person(40, 60, 20), person(0, 10, 30)]
    cues = PeopleCues(people, [0, -2, 0], {"lips": lips})
    present, found = cues.read(1.0, 2.0)
    assert present == [0, 1]
    assert found["lips"].shape == (2, 25, LIP_SIZE, LIP_SIZE)
    np.testing.assert_allclose(found["lips"][:, 0, 0, 0] * 255, [10, 20], atol=1e-4)
    # Two pictures later: the second person's lips are shown from grid number 27 on.
    assert cues.read(0.0, 1.56)[0] == [0, 1, 2]
    assert cues.read(0.0, 1.52)[0] == [0, 2]
    assert cues.read(10.0, 11.0)[0] == []


def test_lips_choose_whose_voice_each_source_is(speech, monkeypatch):
    speech(0.9, 0.9, 0.0)
    monkeypatch.setattr(lips_match, "lip_matcher", lambda scene: Lips(2, [1, 0]))
    people = [person(), person()]
    tracks = LipsMatch()(scene(both(), people=people))
    assert (tracks.mode, tracks.model) == ("audio-visual", "ensemble-2spk")
    assert [t.person for t in tracks.tracks] == people
    assert [t.kind for t in tracks.tracks] == ["person"] * 2
    np.testing.assert_array_equal(tracks.gains[:, :, 50], [[0, 1], [1, 0]])
    assert all(t.confidence > 0.9 for t in tracks.tracks)
    assert [t.offset_seconds for t in tracks.tracks] == [0.0, 0.04]


def test_a_person_without_a_voice_keeps_a_silent_track(speech, monkeypatch):
    speech(0.9, 0.0, 0.0)
    monkeypatch.setattr(lips_match, "lip_matcher", lambda scene: Lips(2, [0, 0, 0]))
    tracks = LipsMatch()(scene(both(), people=[person(), person()]))
    assert len(tracks.tracks) == 2
    assert not tracks.gains[1].any()
    assert not tracks.tracks[1].speech.any()
    assert tracks.tracks[1].confidence is None


@pytest.mark.parametrize(("channels", "taken"), [(1, (1, 1)), (4, (1, 1)), (4, (2, 8))])
def test_lips_steer_a_model_once_they_are_in_step(speech, monkeypatch, channels, taken):
    speech(0.9, 0.9, 0.0)
    monkeypatch.setattr(lips_condition, "lip_matcher", lambda scene: Lips(2, [0, 1]))

    class Steered(Gains):
        def forward(self, mixture, **cues):
            self.given.append((mixture, cues))
            return Output(cues["lips"].mean((2, 3, 4))[:, :, None, None] * mixture.unsqueeze(1))

    model = Steered([1.0], cues=("lips",), sources=None, order="cue", channels=taken)
    store = Store(**both().models, fused=model)
    made = scene(store, people=[person(shade=51), person(shade=102)], model="fused", channels=channels)
    tracks = LipsCondition()(made)
    x = made.mixture(mono=taken == (1, 1)).read(0, 64_000)
    np.testing.assert_allclose(tracks.sources.read(0, 64_000), np.stack([0.2 * x, 0.4 * x]), atol=1e-5)
    assert (tracks.mode, tracks.model, len(tracks.tracks)) == ("audio-visual", "fused", 2)
    # The second person's lips are a picture late, so that they are read from one picture before.
    assert model.given[0][1]["lips"].shape == (1, 2, 100, LIP_SIZE, LIP_SIZE)


def test_tracks_whose_gains_do_not_fit_are_refused():
    sources = Estimates.of(np.zeros((2, 100), np.float32), 16_000)
    with pytest.raises(ValueError, match=r"gains \(1, 1, 5\); expected .* 1 tracks and 2 sources"):
        Tracks("x", "y", sources, np.zeros((1, 1, 5), np.float32), [Track("a", "voice")])
