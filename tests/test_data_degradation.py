"""What happens to the mixture alone: noise, babble, clipping, codecs; targets stay as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_factory import TONES, loudest_hz, make_corpus, speech, tone, white

from avsep.data.casts import SoundEvents
from avsep.data.degradation import Babble, Clipping, Codec, Noise
from avsep.data.draft import Draft
from avsep.data.item import Item
from avsep.data.levels import AsRecorded, level_of
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
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
    for change in (Clipping(0.0), Codec(0.0), Noise("none", 0.0), Babble(0.0)):
        assert change(x, rng, draft) is x


def test_clipping_cuts_at_a_level_below_the_peak(draft: Draft) -> None:
    x = white(RATE)
    y = Clipping(1.0, (6.0, 6.0))(x, np.random.default_rng(0), draft)
    assert np.abs(y).max() == pytest.approx(np.abs(x).max() * 10 ** (-6 / 20), rel=1e-5)
    inside = np.abs(x) < np.abs(y).max()
    assert np.array_equal(x[inside], y[inside])


@pytest.mark.parametrize("name", ["opus", "vorbis", "mp3", "ulaw"])
def test_codecs_lose_something_and_keep_time_and_level(name: Any, draft: Draft) -> None:
    rng = np.random.default_rng(0)
    speechlike = np.stack([tone(700, 0.6) * np.hanning(9600), tone(1100, 0.6) * np.hanning(9600)]).astype(np.float32)
    for x in (speechlike[:1], 20 * speechlike[:1], speechlike):  # also one beyond full scale
        y = Codec(1.0, formats=(name,), compression=(0.5, 0.5))(x, rng, draft)
        assert y.shape == x.shape
        assert y.dtype == np.float32
        assert not np.array_equal(x, y)
        error = np.sum((x - y) ** 2) / np.sum(x**2)
        assert 10 * np.log10(error) < -8, "shifted in time, or another sound"


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
        (lambda: Codec(formats=("flac",)), r"Codec: formats are \('flac',\); they must be of opus, vorbis, mp3, ulaw"),
        (lambda: Noise("x", p=2.0), r"Noise: p is 2.0; it must lie in 0 to 1"),
        (lambda: Babble(talkers=(0, 3)), r"Babble: talkers is \(0, 3\); it must lie in 1 to 1000"),
        (lambda: Clipping(below_peak_db=(3.0, 1.0)), r"Clipping: below_peak_db is \(3.0, 1.0\); a range goes from low"),
    ],
)
def test_options_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_a_codec_that_cannot_hold_the_mixture_is_named() -> None:
    draft = Draft(SoundEvents("none"), [], 441, 44_100, 1)
    with pytest.raises(UsageError, match=r"Codec: OPUS cannot hold \(1, 441\) at 44100 Hz"):
        Codec(1.0, ("opus",))(white(441), np.random.default_rng(0), draft)


def test_babble_needs_a_cast_of_speakers(sounds: str) -> None:
    recipe = Recipe(SoundEvents(sounds, (1, 1)), 0.3, degradation=[Babble()])
    with pytest.raises(UsageError, match=r"SoundEvents knows no other speakers; babble needs the cast Speakers"):
        Mixtures(recipe)
