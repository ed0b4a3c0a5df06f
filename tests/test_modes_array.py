"""Arrays: which model or beamformer takes them, with stub models."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stub_models import Gains
from stub_scenes import Store, both, scene

from avsep.errors import UsageError
from avsep.modes.array import Array


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


@pytest.mark.parametrize(("array", "expected"), [("auto", lambda x: x[0]), ("off", lambda x: x.mean(axis=0))])
def test_sources_of_an_array_are_judged_at_the_reference_and_stereo_ones_by_their_mean(array, expected):
    made = scene(Store(), channels=4, array=array)
    mixture = made.mixture(mono=False)
    found = made.separate(Gains([0.5], channels=(2, 8)), mixture)
    x = mixture.read(0, 32_000)
    np.testing.assert_allclose(found.mono(0, 32_000), [0.5 * expected(x)], atol=1e-6)
