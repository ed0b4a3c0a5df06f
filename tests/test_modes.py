"""Routing of scenes to modes, and each mode's branches, with stub models of known outputs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from stub_models import Gains, Lips

import avsep.modes.lips_condition as lips_condition
import avsep.modes.lips_match as lips_match
import avsep.modes.voices as voices_module
from avsep.checkpoint import Card, load_model
from avsep.errors import UsageError
from avsep.media.probe import AudioInfo, ClipInfo, VideoInfo
from avsep.models.base import Contract, Output
from avsep.models.voice_statistics import VoiceStatistics
from avsep.modes import MODES
from avsep.modes.array import Array
from avsep.modes.base import Options, Scene
from avsep.modes.by_sound import BySound
from avsep.modes.guided import Guided
from avsep.modes.lips_condition import LipsCondition
from avsep.modes.lips_match import LipsMatch
from avsep.modes.people_cues import PeopleCues, lips
from avsep.modes.universal import Universal
from avsep.modes.voices import default_models
from avsep.pipeline import Separator
from avsep.signals import LIP_SIZE, FaceTrack, LipClip, Person, Track, Tracks
from avsep.storage.recording import Estimates, Recording
from avsep.storage.spool import Spool


class Store:
    """Stub models by name."""

    device, seconds = "cpu", 0.0

    def __init__(self, **models: Gains) -> None:
        self.models = models

    def card(self, name: str) -> Card:
        return Card(name, "", {}, 0, "", {})

    def separation(self, name: str) -> Gains:
        return self.models[name]

    def voice(self, name: str) -> VoiceStatistics:
        """One that has learnt nothing, so that all voices are one."""
        return VoiceStatistics(dims=4)


def scene(store: Store, *, people=(), model: str | None = None, channels: int = 1, rate: int = 16_000, **options):
    clip = ClipInfo(Path("clip.wav"), AudioInfo(0, rate, channels, "pcm"), None, 0.0, 4.0)
    made = Scene(clip, list(people), store, Options(**options), model)
    x = np.random.default_rng(0).standard_normal((channels, 4 * rate)).astype(np.float32)
    made._recordings[(rate, channels == 1)] = Recording.of(x, rate)
    made._recordings[(16_000, True)] = Recording.of(x[:, :64_000].mean(axis=0), 16_000)
    return made


@pytest.fixture
def speech(monkeypatch):
    """Sets the probability of speech of each source, in place of the detector: speech(0.9, 0.0)."""

    def probabilities(*values: float) -> None:
        def found(sources: Estimates, progress=None):
            pictures = -(-len(sources) * 25 // 16_000)
            rows = np.array([values[n] for n in range(sources.count)], np.float32)[:, None]
            return rows.repeat(pictures, 1), np.full((sources.count, pictures), -20.0, np.float32)

        for module in (voices_module, lips_condition):
            monkeypatch.setattr(module, "speech_and_level", found)

    return probabilities


def person(first: int = 0, pictures: int = 100, shade: int = 0) -> Person:
    crops = Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8)
    crops.append(np.full((pictures, LIP_SIZE, LIP_SIZE), shade, np.uint8))
    track = FaceTrack(
        first,
        np.zeros((pictures, 4), np.float32),
        np.zeros((pictures, 5, 2), np.float32),
        np.ones(pictures, np.float32),
        np.zeros((0, 160, 160, 3), np.uint8),
        first,
        LipClip(crops, np.ones(pictures, np.float32), first),
    )
    return Person((track,))


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


def both() -> Store:
    two = {name: Gains([0.6, 0.4]) for name in ("ensemble-2spk", "audio-2spk")}
    return Store(**two, **{"split-3spk": Gains([0.5, 0.3, 0.2])})


def sum_of(tracks: Tracks) -> np.ndarray:
    gains = tracks.gains[:, :, 10]
    return np.einsum("ps,sct->pct", gains, tracks.sources.read(0, 16_000)).sum(axis=0)


@pytest.mark.parametrize(
    ("probabilities", "model", "count"),
    [((0.9, 0.9, 0.9), "split-3spk", 3), ((0.9, 0.9, 0.0), "ensemble-2spk", 2), ((0.9, 0.0, 0.0), "audio-2spk", 1)],
)
def test_by_sound_takes_the_weights_for_the_voices_it_counts(speech, probabilities, model, count):
    speech(*probabilities)
    made = scene(both())
    tracks = BySound()(made)
    assert (tracks.mode, tracks.model, len(tracks.tracks)) == ("audio-only", model, count)
    assert [track.kind for track in tracks.tracks] == ["voice"] * count
    assert [track.name for track in tracks.tracks] == [f"speaker_{n:02d}" for n in range(count)]
    # Every source is in one track.
    np.testing.assert_allclose(sum_of(tracks), made.mixture().read(0, 16_000), atol=1e-6)


TURNS = [[0.9] * 50 + [0.0] * 50, [0.0] * 50 + [0.9] * 50]


@pytest.mark.parametrize(
    ("pair", "many", "quality", "models", "count"),
    [
        # Two who take turns, whom the weights for three give one estimate.
        (TURNS, [[0.9], [0.0], [0.0]], "normal", ["audio-2spk", "split-3spk", "ensemble-2spk"], 2),
        # One whom only the weights for two split.
        ([[0.9], [0.9]], [[0.9], [0.0], [0.0]], "normal", ["audio-2spk", "split-3spk"], 1),
        ([[0.9], [0.0]], [[0.9], [0.9], [0.9]], "normal", ["audio-2spk"], 1),
        # One pass is all that is asked for, and has been made.
        ([[0.9], [0.9]], [[0.9], [0.9], [0.9]], "fast", ["audio-2spk", "split-3spk"], 3),
    ],
)
def test_who_is_alone_and_who_takes_turns(monkeypatch, pair, many, quality, models, count):
    def found(sources: Estimates, progress=None):
        given = {1: [[0.9]], 2: pair, 3: many}[sources.count]
        speech = np.array([np.resize(row, 100) for row in given], np.float32)
        return speech, np.full(speech.shape, -20.0, np.float32)

    monkeypatch.setattr(voices_module, "speech_and_level", found)
    made = scene(both(), quality=quality)
    separated = []
    separate = made.separate
    made.separate = lambda model, *rest, **options: separated.append(model) or separate(model, *rest, **options)
    tracks = BySound()(made)
    assert [next(name for name, m in made.models.models.items() if m is model) for model in separated] == models
    assert (tracks.model, len(tracks.tracks)) == (models[-1] if count > 1 else "audio-2spk", count)
    np.testing.assert_allclose(sum_of(tracks), made.mixture().read(0, 16_000), atol=1e-6)


@pytest.mark.parametrize(
    ("speakers", "talkers", "count", "model"),
    [
        ("auto", 3, 3, "ensemble-2spk"),  # more than speak at a time
        ("auto", 1, 2, "ensemble-2spk"),  # not told apart: one for each source
        (4, 4, 4, "ensemble-2spk"),
        (3, 2, 3, "split-3spk"),  # not as many told apart as there are
    ],
)
def test_who_takes_turns_is_told_by_the_voice(monkeypatch, speakers, talkers, count, model):
    def found(sources: Estimates, progress=None):
        given = {2: TURNS, 3: [*TURNS, [0.0]]}[sources.count]
        speech = np.array([np.resize(row, 100) for row in given], np.float32)
        return speech, np.full(speech.shape, -20.0, np.float32)

    def told(model, sources, own, wanted):
        assert wanted == (None if speakers == "auto" else speakers)
        gains = np.zeros((talkers, *own.shape), np.float32)
        gains[np.arange(own.shape[1]) * talkers // own.shape[1], :, np.arange(own.shape[1])] = 1
        return gains

    monkeypatch.setattr(voices_module, "speech_and_level", found)
    monkeypatch.setattr(voices_module, "talker_gains", told)
    made = scene(both(), speakers=speakers)
    tracks = BySound()(made)
    assert (tracks.model, len(tracks.tracks), len(tracks.gains)) == (model, count, count)
    np.testing.assert_allclose(sum_of(tracks), made.mixture().read(0, 16_000), atol=1e-6)


@pytest.mark.parametrize("speakers", ["auto", 2])
def test_voices_that_speak_together_are_a_source_each(speech, monkeypatch, speakers):
    monkeypatch.setattr(voices_module, "talker_gains", None)
    speech(0.9, 0.9, 0.0)
    tracks = BySound()(scene(both(), speakers=speakers))
    np.testing.assert_array_equal(tracks.gains[:, :, 10], np.eye(2))


def test_no_more_is_counted_than_makes_a_difference(monkeypatch):
    speech = np.array([np.resize(row, 100) for row in TURNS], np.float32)
    monkeypatch.setattr(voices_module, "speech_and_level", lambda *_: (speech, np.full(speech.shape, -20.0)))
    made = scene(Store(**{name: both().models[name] for name in ("audio-2spk", "ensemble-2spk")}))
    assert voices_module.separate_with_fitting_model(made, None, most=2).model == "ensemble-2spk"


def test_by_sound_gives_no_track_where_nobody_speaks(speech):
    speech(0.1, 0.2, 0.0)
    tracks = BySound()(scene(both()))
    assert tracks.tracks == []
    assert tracks.gains.shape[0] == 0
    assert "nobody speaks" in tracks.warnings[0]


@pytest.mark.parametrize(("speakers", "model"), [(1, "ensemble-2spk"), (2, "ensemble-2spk"), (3, "split-3spk")])
def test_by_sound_gives_as_many_tracks_as_were_asked_for(speech, speakers, model):
    speech(0.0, 0.0, 0.0)
    tracks = BySound()(scene(both(), speakers=speakers))
    assert (tracks.model, len(tracks.tracks), tracks.warnings) == (model, speakers, [])


def test_more_voices_than_a_model_separates_are_refused(speech):
    with pytest.raises(UsageError, match=r"--speakers is 4; model 'split-3spk' separates up to 3 voices"):
        BySound()(scene(both(), speakers=4))
    with pytest.raises(UsageError, match=r"--speakers is 3; model 'ensemble-2spk' separates up to 2 voices"):
        BySound()(scene(both(), speakers=3, model="ensemble-2spk"))


class Finds(Gains):
    """Finds three voices unless told how many there are."""

    def __init__(self, count: int = 3) -> None:
        super().__init__([1 / count] * count, sources=None)

    def with_sources(self, sources: int) -> Gains:
        if sources > 4:
            raise ValueError(f"sources is {sources}; it must be a whole number from 1 to 4")
        return Finds(sources)


@pytest.mark.parametrize(("speakers", "count"), [("auto", 3), (1, 1), (2, 2), (4, 4)])
def test_a_model_that_finds_the_number_of_voices_is_told_one_that_is_known(speech, speakers, count):
    speech(0.9, 0.9, 0.9, 0.9)
    tracks = BySound()(scene(Store(finds=Finds()), model="finds", speakers=speakers))
    assert (len(tracks.tracks), tracks.sources.count) == (count, count)


def test_a_number_that_a_model_cannot_be_told_is_refused(speech):
    with pytest.raises(UsageError, match=r"--speakers is 5, which the model does not separate: sources is 5; it must"):
        BySound()(scene(Store(finds=Finds()), model="finds", speakers=5))


def test_an_array_goes_to_its_model_with_all_channels(speech):
    speech(0.9, 0.8)
    store = Store(array=Gains([0.7, 0.3], channels=(2, 8)))
    tracks = Array()(scene(store, model="array", channels=4))
    assert (tracks.mode, tracks.model, len(tracks.tracks)) == ("multichannel", "array", 2)
    assert tracks.sources.channels == 4
    assert store.models["array"].given[0][0].shape[1] == 4


def test_a_model_is_told_the_positions_of_the_microphones_in_use(speech, tmp_path):
    speech(0.9, 0.8)
    places = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.2, 0.0, 0.0], [0.3, 0.0, 0.0]]
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"positions": places}))

    class Placed(Gains):
        def with_positions(self, positions):
            self.positions = positions
            return self

    store = Store(array=Placed([0.7, 0.3], channels=(2, 8)))
    made = scene(store, model="array", channels=4, array=str(file))
    made._microphones = (1, 3)
    Array()(made)
    np.testing.assert_array_equal(store.models["array"].positions, [places[1], places[3]])


def test_more_microphones_than_the_bundled_model_takes_steer_a_beamformer(speech):
    speech(0.9, 0.9, 0.0)
    tracks = Array()(scene(with_array(), channels=12))
    assert (tracks.mode, tracks.model, len(tracks.tracks)) == ("multichannel", "ensemble-2spk + MVDR", 2)


def with_array() -> Store:
    blind = Gains([0.4, 0.3, 0.2, 0.1], channels=(2, 8))
    return Store(**both().models, **{"array-2spk": Gains([0.7, 0.3], channels=(2, 8)), "fastica": blind})


@pytest.mark.parametrize(
    ("probabilities", "speakers", "mode", "model", "count"),
    [
        ((0.9, 0.9, 0.0), "auto", "multichannel", "array-2spk", 2),
        ((0.9, 0.9, 0.9, 0.0), "auto", "multichannel", "fastica", 3),
        ((0.9, 0.0, 0.0), "auto", "audio-only", "audio-2spk", 1),
        ((0.9, 0.9, 0.0), 2, "multichannel", "array-2spk", 2),
        ((0.9, 0.9, 0.9, 0.0), 3, "multichannel", "fastica", 3),
    ],
)
def test_an_array_without_a_model_gets_the_bundled_one_that_fits(speech, probabilities, speakers, mode, model, count):
    speech(*probabilities)
    tracks = Array()(scene(with_array(), channels=4, speakers=speakers))
    assert (tracks.mode, tracks.model, len(tracks.tracks)) == (mode, model, count)


@pytest.mark.parametrize(
    ("channels", "speakers", "plan"),
    [
        (4, "auto", "audio-2spk and split-3spk, then array-2spk or fastica"),
        (2, "auto", "audio-2spk and split-3spk, then array-2spk or split-3spk"),
        (12, "auto", "audio-2spk and split-3spk, then ensemble-2spk or split-3spk"),
        (4, 1, "array-2spk"),
        (4, 2, "array-2spk"),
        (4, 3, "fastica"),
        (2, 3, "split-3spk"),
    ],
)
def test_what_is_planned_for_an_array_is_told(channels, speakers, plan):
    assert Array().plan(scene(with_array(), channels=channels, speakers=speakers)) == plan


@pytest.mark.parametrize(
    ("channels", "speakers", "model"), [(4, 3, "fastica"), (4, 4, "fastica"), (2, 3, "split-3spk + MVDR")]
)
def test_many_voices_of_an_array_are_separated_blindly(speech, tmp_path, channels, speakers, model):
    speech(0.9, 0.9, 0.9, 0.9)
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"positions": [[0.1 * n, 0.0, 0.0] for n in range(channels)]}))
    tracks = Array()(scene(with_array(), channels=channels, speakers=speakers, array=str(file)))
    assert (tracks.mode, tracks.model, len(tracks.tracks)) == ("multichannel", model, speakers)


def test_more_voices_than_microphones_and_than_any_model_separates_are_refused(speech):
    with pytest.raises(UsageError, match=r"--speakers is 5; model 'split-3spk' separates up to 3 voices here"):
        Array()(scene(with_array(), channels=4, speakers=5))


def test_more_voices_than_an_array_has_sources_are_refused(speech):
    speech(0.9, 0.8)
    store = Store(array=Gains([0.7, 0.3], channels=(2, 8)))
    with pytest.raises(UsageError, match=r"--speakers is 3; model 'array' separates up to 2 voices here. Give 1 to 2"):
        Array()(scene(store, model="array", channels=4, speakers=3))


def test_a_model_that_finds_no_voice_gives_no_track():
    made = scene(Store(none=Gains([], sources=None)), model="none")
    tracks = BySound()(made)
    assert (tracks.tracks, tracks.gains.shape) == ([], (0, 0, 100))
    assert "nobody speaks" in tracks.warnings[0]


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


@pytest.mark.parametrize(("array", "expected"), [("auto", lambda x: x[0]), ("off", lambda x: x.mean(axis=0))])
def test_sources_of_an_array_are_judged_at_the_reference_and_stereo_ones_by_their_mean(array, expected):
    made = scene(Store(), channels=4, array=array)
    mixture = made.mixture(mono=False)
    found = made.separate(Gains([0.5], channels=(2, 8)), mixture)
    x = mixture.read(0, 32_000)
    np.testing.assert_allclose(found.mono(0, 32_000), [0.5 * expected(x)], atol=1e-6)
