"""Voices by sound alone: which weights take them, how many there are and whose they are, with stub models."""

from __future__ import annotations

import numpy as np
import pytest
from stub_models import Gains
from stub_scenes import Store, both, scene, sum_of

import avsep.modes.voices as voices_module
from avsep.errors import UsageError
from avsep.modes.by_sound import BySound
from avsep.storage.recording import Estimates


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


def test_a_model_that_finds_no_voice_gives_no_track():
    made = scene(Store(none=Gains([], sources=None)), model="none")
    tracks = BySound()(made)
    assert (tracks.tracks, tracks.gains.shape) == ([], (0, 0, 100))
    assert "nobody speaks" in tracks.warnings[0]
