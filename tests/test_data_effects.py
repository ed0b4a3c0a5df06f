"""What recording, editing and transmission do to a sound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_factory import tone, white

from avsep.data.casts import SoundEvents
from avsep.data.draft import Draft
from avsep.data.effects import (
    BitRateCodec,
    Clipping,
    Codec,
    Compression,
    Effect,
    Hum,
    NoiseFloor,
    NoiseGate,
    apply_effects,
)
from avsep.data.levels import level_of
from avsep.errors import UsageError
from avsep.media.codec import coded

RATE = 16_000
EVERY = [Clipping, Compression, NoiseGate, NoiseFloor, Hum, Codec, BitRateCodec]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def loud_and_soft(soft_db: float) -> np.ndarray:
    """A second of noise, a second of the same softer: (1, time)."""
    x = 0.1 * np.random.default_rng(1).standard_normal((1, RATE)).astype(np.float32)
    return np.concatenate([x, x * np.float32(10 ** (soft_db / 20))], axis=1)


def test_clipping_cuts_at_a_level_below_the_peak() -> None:
    x = white(RATE)
    y = Clipping(1.0, (6.0, 6.0)).apply(x, rng(), RATE)
    assert np.abs(y).max() == pytest.approx(np.abs(x).max() * 10 ** (-6 / 20), rel=1e-5)
    inside = np.abs(x) < np.abs(y).max()
    assert np.array_equal(x[inside], y[inside])


def test_compression_brings_loud_and_soft_together() -> None:
    x = loud_and_soft(-20)
    effect = Compression(1.0, threshold_db=(-30.0, -30.0), ratio=(4.0, 4.0), release_seconds=(0.05, 0.05))
    y = effect.apply(x, rng(), RATE)
    before, after = (level_of(z[:, 4000:12_000]) - level_of(z[:, 20_000:28_000]) for z in (x, y))
    assert before == pytest.approx(20, abs=0.1)
    # Both are above the threshold: 4 dB in for one out.
    assert after == pytest.approx(5, abs=1)


def test_a_gate_turns_pauses_down_and_speech_not() -> None:
    x = loud_and_soft(-50)
    effect = NoiseGate(1.0, threshold_db=(-30.0, -30.0), down_db=(20.0, 20.0), release_seconds=(0.05, 0.05))
    y = effect.apply(x, rng(), RATE)
    np.testing.assert_allclose(y[:, :15_000], x[:, :15_000], rtol=1e-4)
    assert level_of(x[:, 24_000:]) - level_of(y[:, 24_000:]) == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("effect", [NoiseFloor(1.0, (-20.0, -20.0)), Hum(1.0, (-20.0, -20.0))])
def test_what_is_added_has_its_level(effect: Effect) -> None:
    x = white(2 * RATE)
    added = effect.apply(x, rng(), RATE) - x
    assert level_of(added) - level_of(x) == pytest.approx(-20, abs=0.1)


def test_hum_is_mains() -> None:
    bins = np.abs(np.fft.rfft(Hum(1.0).apply(np.full((1, RATE), 1e-3, np.float32), rng(), RATE)[0]))
    bins[0] = 0
    loud = np.flatnonzero(bins > 0.01 * bins.max())
    assert set(loud % 50) == {0} or set(loud % 60) == {0}


@pytest.mark.parametrize("name", ["opus", "vorbis", "mp3", "ulaw"])
def test_codecs_lose_something_and_keep_time_and_level(name: Any) -> None:
    speechlike = np.stack([tone(700, 0.6) * np.hanning(9600), tone(1100, 0.6) * np.hanning(9600)]).astype(np.float32)
    for x in (speechlike[:1], 20 * speechlike[:1], speechlike):  # also one beyond full scale
        y = Codec(1.0, formats=(name,), compression=(0.5, 0.5)).apply(x, rng(), RATE)
        assert_like(y, x, -8)


@pytest.mark.parametrize("name", ["aac", "mp3", "opus"])
def test_codecs_of_a_bit_rate_lose_something_and_keep_time_and_level(name: Any) -> None:
    time = np.arange(RATE) / RATE
    sweep = (np.hanning(RATE) * np.sin(2 * np.pi * (200 * time + 400 * time**2)))[None].astype(np.float32)
    for x in (0.3 * sweep, 20 * sweep, np.concatenate([sweep, 0.5 * sweep])):
        assert_like(BitRateCodec(1.0, formats=(name,), kbits=(64.0, 64.0)).apply(x, rng(), RATE), x, -12)


def assert_like(y: np.ndarray, x: np.ndarray, most_db: float) -> None:
    assert (y.shape, y.dtype) == (x.shape, np.float32)
    assert not np.array_equal(x, y)
    error = np.sum((x - y) ** 2) / np.sum(x**2)
    assert 10 * np.log10(error) < most_db, "shifted in time, or another sound"


def test_fewer_bits_lose_more() -> None:
    x = 0.1 * white(RATE)
    errors = [np.sum((coded(x, RATE, "mp3", 1000 * kbits) - x) ** 2) for kbits in (16, 96)]
    assert errors[0] > 2 * errors[1]


def test_a_codec_of_silence_is_silence() -> None:
    x = np.zeros((1, 1000), np.float32)
    np.testing.assert_array_equal(coded(x, RATE, "aac", 32_000), x)


def test_a_rate_that_an_encoder_does_not_take_is_told() -> None:
    with pytest.raises(UsageError, match="codec 'opus' takes no 1 channels at 11025 Hz"):
        coded(white(1000), 11_025, "opus", 32_000)


def test_a_codec_that_cannot_hold_the_sound_is_named() -> None:
    with pytest.raises(UsageError, match=r"Codec: OPUS cannot hold \(1, 441\) at 44100 Hz"):
        Codec(1.0, ("opus",)).apply(white(441), rng(), 44_100)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("samples", [1, 100, 8000])
def test_all_take_any_length_and_silence(kind: Any, samples: int) -> None:
    for x in (0.1 * white(samples).reshape(1, -1), np.zeros((1, samples), np.float32)):
        y = kind(p=1.0).apply(x, rng(), RATE)
        assert (y.shape, y.dtype) == (x.shape, np.float32)
        assert np.isfinite(y).all()


@pytest.mark.parametrize("kind", EVERY)
def test_without_their_probability_they_change_nothing(kind: Any) -> None:
    x = white(RATE)
    assert apply_effects(x, [kind(p=0.0)], rng(), RATE) is x
    assert kind(p=0.0)(x, rng(), Draft(SoundEvents("none"), [], RATE, RATE, 1)) is x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Codec(formats=("flac",)), "Codec: formats are .'flac',.; they must be of opus, vorbis, mp3, ulaw"),
        (lambda: BitRateCodec(formats=()), "BitRateCodec: formats are .*; they must be of aac, mp3, opus"),
        (lambda: BitRateCodec(kbits=(1.0, 20.0)), "kbits is .1.0, 20.0.; it must lie in 6 to 510"),
        (lambda: Compression(ratio=(0.5, 2.0)), "ratio is .0.5, 2.0.; it must lie in 1 to 1000"),
        (lambda: NoiseGate(threshold_db=(0.0, -10.0)), "a range goes from low to high"),
        (lambda: Hum(p=1.5), "p is 1.5; it must lie in 0 to 1"),
    ],
)
def test_wrong_options_are_told(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
