"""Speed and filters: each does what it says, within its ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_factory import loudest_hz, tone, white

from avsep.data.filters import BandLimit, Equaliser, Speed
from avsep.data.rooms import apply_room
from avsep.errors import UsageError

RATE = 16_000


def band_db(x: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(x[0])) ** 2
    hz = np.fft.rfftfreq(x.shape[-1], 1 / RATE)
    return float(10 * np.log10(power[(hz >= low) & (hz < high)].mean() + 1e-20))


def test_speed_changes_pitch_and_keeps_length() -> None:
    for factor in (0.8, 1.0, 1.25):
        x = tone(1000, 2.0)[: Speed.needed(RATE, factor)]
        y = Speed.sound(x, factor, RATE)
        assert y.shape == (RATE,)
        assert y.dtype == np.float32
        assert loudest_hz(y) == pytest.approx(1000 * factor, abs=1)
    assert np.array_equal(Speed.sound(x, 1.0, 100), x[:100])


def test_equaliser_tilts_by_decibels_an_octave() -> None:
    x = white(2 * RATE)
    tilted = apply_room(x, [Equaliser(1.0, (3.0, 3.0), (0.0, 0.0))], None, np.random.default_rng(0))[0]
    gain = [band_db(tilted, f / 1.1, f * 1.1) - band_db(x, f / 1.1, f * 1.1) for f in (500, 1000, 2000, 4000)]
    assert gain == pytest.approx([-3, 0, 3, 6], abs=0.1)


def test_band_limit_takes_the_top_and_the_bottom_away() -> None:
    x = white(2 * RATE)
    y = apply_room(x, [BandLimit(1.0, (3400, 3400), (300, 300))], None, np.random.default_rng(0))[0]
    assert band_db(y, 800, 2500) == pytest.approx(band_db(x, 800, 2500), abs=0.3)
    assert band_db(y, 5000, 8000) < band_db(x, 5000, 8000) - 30
    assert band_db(y, 10, 120) < band_db(x, 10, 120) - 30


def test_filters_without_their_probability_change_nothing() -> None:
    x = white(4000)
    y = apply_room(x, [Equaliser(0.0), BandLimit(0.0)], None, np.random.default_rng(0))[0]
    assert np.allclose(x, y, atol=1e-6)


def test_filters_are_those_of_every_channel() -> None:
    stereo = np.concatenate([white(4000, 0), white(4000, 1)])
    together = apply_room(stereo, [Equaliser(1.0)], None, np.random.default_rng(0))[0]
    alone = [apply_room(x[None], [Equaliser(1.0)], None, np.random.default_rng(0))[0][0] for x in stereo]
    assert np.allclose(together, alone, atol=1e-6)


def test_a_response_is_a_convolution() -> None:
    x, response = white(3000), white(400, 1)
    image = apply_room(x, (), response, np.random.default_rng(0))[0]
    assert np.allclose(image[0], np.convolve(x[0], response[0])[:3000], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Speed((0.0, 1.0)), r"Speed: factor is \(0.0, 1.0\); it must lie in 0.25 to 4"),
        (lambda: Equaliser(p=1.5), r"Equaliser: p is 1.5; it must lie in 0 to 1"),
        (lambda: Equaliser(tilt_db=(3, -3)), r"Equaliser: tilt_db is \(3, -3\); a range goes from low to high"),
        (lambda: BandLimit(high_hz=(0.0, 10.0)), r"BandLimit: high_hz is \(0.0, 10.0\); it must lie in 1 to 100000"),
    ],
)
def test_ranges_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
