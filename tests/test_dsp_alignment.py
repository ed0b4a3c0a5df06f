"""Known sounds in a recording of them: delays to a part of a sample, levels, and what is not there."""

from __future__ import annotations

import numpy as np
import pytest
from two_talkers import in_a_room, voices

from avsep.dsp.alignment import delay_of, later, moved, place

RATE = 8000


def smooth(time: int, seed: int = 0) -> np.ndarray:
    """Noise below 2 kHz."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(time))
    spectrum[time // 4 :] = 0
    return np.fft.irfft(spectrum, time)


@pytest.mark.parametrize("delay", [0, 5, 120, -7])
def test_whole_delays_move_samples(delay):
    signal = np.arange(1.0, 101.0)[None]
    out = moved(signal, delay, 90)
    assert out.shape == (1, 90)
    expected = [signal[0, n - delay] if 0 <= n - delay < 100 else 0.0 for n in range(90)]
    np.testing.assert_array_equal(out[0], expected)


@pytest.mark.parametrize("delay", [0.5, 3.25, -2.75])
def test_parts_of_a_sample_are_those_of_a_sine(delay):
    n = np.arange(2000)
    out = moved(np.sin(0.3 * n).astype(np.float32), delay, 2000)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[300:-300], np.sin(0.3 * (n - delay))[300:-300], atol=2e-3)


@pytest.mark.parametrize("time", [64, 65])
def test_there_and_back_again(time):
    signal = smooth(time) * np.hanning(time)
    np.testing.assert_allclose(later(later(signal, 0.4), -0.4), signal, atol=1e-3)
    assert later(signal, 0) is signal


def test_delays_levels_and_polarity_are_found():
    first, second = smooth(6000, 1), smooth(5000, 2)
    recording = 0.25 * moved(first, 700.3, 9000) - 0.75 * moved(second, 1500.75, 9000)
    recording += 0.02 * smooth(9000, 3)
    found = place([first, second], recording, RATE, 1.0)
    assert [placed.delay for placed in found] == pytest.approx([700.3, 1500.75], abs=0.07)
    assert [placed.gain for placed in found] == pytest.approx([0.25, -0.75], rel=0.03)
    assert found[1].likeness > 0.9 > found[0].likeness > 0.05
    assert min(placed.clearness for placed in found) > 12


def test_a_recording_may_begin_after_its_sources():
    source = smooth(6000)
    (found,) = place([source], moved(source, -400, 5000), RATE, 0.1)
    assert found.delay == pytest.approx(-400, abs=0.07)
    assert found.likeness > 0.99


def test_delays_beyond_what_is_looked_for_and_other_sounds_are_not_clear():
    source = smooth(6000)
    recording = moved(source, 2000, 9000)
    assert delay_of(source, recording, RATE, 0.1)[1] < 12
    assert delay_of(smooth(6000, 9), recording, RATE, 1.0)[1] < 12
    assert delay_of(source, recording, RATE, 1.0)[1] > 12


def test_silence_is_nowhere():
    for source, recording in ((np.zeros(800), smooth(800)), (smooth(800), np.zeros(800))):
        (found,) = place([source], recording, RATE, 0.1)
        assert (found.delay, found.clearness, found.likeness) == (0.0, 0.0, 0.0)
        assert np.isfinite(found.gain)


def test_the_direct_sound_of_voices_in_a_room():
    """Not a reflection: 5 m away is later than 1 m."""
    sources = voices(3.5, 2.0)
    images = in_a_room(sources, 1)[:, 0]
    places = place(list(sources), images.sum(0), 16_000, 0.5)
    for source, image, placed in zip(sources, images, places, strict=True):
        alone, clearness = delay_of(source, image, 16_000, 0.5)
        assert placed.delay == pytest.approx(alone, abs=1.0)
        assert min(placed.clearness, clearness) > 12
    # Positions of in_a_room: 1.668 m and 1.596 m to the microphone, and 40 samples of the simulation's filters.
    expected = [1.668 / 343 * 16_000 + 40, 1.596 / 343 * 16_000 + 40]
    assert [placed.delay for placed in places] == pytest.approx(expected, abs=2.0)
