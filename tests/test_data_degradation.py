"""What happens to the mixture alone: noise and babble, one change after the other; targets stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import TONES, loudest_hz, make_corpus, speech, white
from scipy.signal import csd, welch

from avsep.data.casts import SoundEvents
from avsep.data.degradation import Babble, DiffuseNoise, Noise
from avsep.data.draft import Draft
from avsep.data.effects import Clipping
from avsep.data.item import Item
from avsep.data.levels import AsRecorded, level_of
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rooms import SPEED_OF_SOUND, Responses
from avsep.errors import UsageError

RATE = 16_000
LEVEL = {"loudness_db": (-20.0, -20.0)}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("sounds"), ("dan",), seconds=0.3))


@pytest.fixture
def draft() -> Draft:
    """Of nothing: what the changes need that ask for its rate only."""
    return Draft(SoundEvents("none"), [], RATE, RATE, 1)


def rest(item: Item) -> np.ndarray:
    """(time,) of the mixture that is in no source."""
    return (item["mixture"] - item["sources"].sum(0))[0].numpy()


def test_without_their_probability_they_change_nothing(draft: Draft) -> None:
    x, rng = white(RATE), np.random.default_rng(0)
    for change in (Noise("none", 0.0), Babble(0.0)):
        assert change(x, rng, draft) is x


def test_noise_lies_below_the_sources_and_in_none_of_them(manifest: Path, sounds: str) -> None:
    noise = Noise(sounds, p=1.0, below_db=(10.0, 10.0))
    recipe = speech(manifest, degradation=[noise], levels=LEVEL, only=["ada", "bob"])
    left = rest(Mixtures(recipe)[0])
    assert level_of(left) == pytest.approx(-30, abs=0.05)
    assert loudest_hz(left) == pytest.approx(TONES["dan"], abs=5)


def test_noise_below_recordings_goes_by_the_level_of_the_mixture(manifest: Path, sounds: str) -> None:
    noise = Noise(sounds, p=1.0, below_db=(10.0, 10.0))
    recipe = speech(manifest, degradation=[noise], scene={"levels": AsRecorded()}, only=["ada", "bob"])
    item = Mixtures(recipe)[0]
    assert level_of(rest(item)) == pytest.approx(level_of(item["sources"].sum(0).numpy()) - 10, abs=0.05)


def test_babble_is_of_other_speakers_and_in_no_source(manifest: Path) -> None:
    babble = Babble(1.0, talkers=(2, 2), below_db=(10.0, 10.0))
    item = Mixtures(speech(manifest, degradation=[babble], levels=LEVEL))[0]
    left = rest(item)
    assert level_of(left) == pytest.approx(-30, abs=0.05)
    drawn = {min(TONES, key=lambda name: abs(TONES[name] - loudest_hz(s))) for s in item["sources"][:, 0].numpy()}
    size = np.abs(np.fft.rfft(left))
    crowd = {name for name, hz in TONES.items() if size[hz] > 0.5 * size.max()}  # bins of 1 Hz
    assert crowd == set(TONES) - drawn
    # Of two speakers both are in the mixture: there is nobody left.
    alone = Mixtures(speech(manifest, degradation=[babble], levels=LEVEL, only=["ada", "bob"]))[0]
    assert np.abs(rest(alone)).max() < 1e-6


def test_diffuse_noise_has_the_coherence_of_noise_from_everywhere(draft: Draft) -> None:
    positions = np.array([[0.0, 0, 0], [0.05, 0, 0], [0.05, 0.3, 0], [0.05, 0.3, 0]])
    draft.room = Responses(np.ones((1, 4, 1), np.float32), microphones=positions)
    draft.base_db = -20.0
    silence = np.zeros((4, 20 * RATE), np.float32)
    noise = DiffuseNoise(p=1.0, below_db=(10.0, 10.0))(silence, np.random.default_rng(0), draft)
    assert noise.dtype == np.float32
    assert level_of(noise[0]) == pytest.approx(-30, abs=0.01)
    assert level_of(noise[3]) == pytest.approx(-30, abs=0.5)
    for n, metres in ((1, 0.05), (2, np.hypot(0.05, 0.3))):
        frequency, cross = csd(noise[0], noise[n], RATE, nperseg=512)
        power = [welch(noise[m], RATE, nperseg=512)[1] for m in (0, n)]
        found = cross.real / np.sqrt(power[0] * power[1])
        expected = np.sinc(2 * frequency * metres / SPEED_OF_SOUND)
        assert np.abs(found - expected)[1:-1].mean() < 0.05
    assert np.corrcoef(noise[2], noise[3])[0, 1] > 0.999  # at one place
    draft.room = None
    apart = DiffuseNoise(p=1.0)(silence, np.random.default_rng(0), draft)
    assert np.abs(np.corrcoef(apart) - np.eye(4)).max() < 0.05


def test_changes_follow_each_other_in_their_order(manifest: Path, sounds: str) -> None:
    noise, clipping = Noise(sounds, 1.0, (-20.0, -20.0)), Clipping(1.0, (10.0, 10.0))
    clipped, noisy = (
        Mixtures(speech(manifest, 0.3, degradation=order))[0]["mixture"]
        for order in ([noise, clipping], [clipping, noise])
    )
    assert (clipped.abs() == clipped.abs().max()).sum() > 100
    assert (noisy.abs() == noisy.abs().max()).sum() < 50


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise("x", p=2.0), r"Noise: p is 2.0; it must lie in 0 to 1"),
        (lambda: Babble(talkers=(0, 3)), r"Babble: talkers is \(0, 3\); it must lie in 1 to 1000"),
    ],
)
def test_options_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_babble_needs_a_cast_of_speakers(sounds: str) -> None:
    recipe = Recipe(SoundEvents(sounds, (1, 1)), 0.3, degradation=[Babble()])
    with pytest.raises(UsageError, match=r"SoundEvents knows no other speakers; babble needs the cast Speakers"):
        Mixtures(recipe)
