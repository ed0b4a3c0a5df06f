"""Speech to movement: how far and how wide the mouth is open at every picture, and how the head moves.

All smoothing is symmetrical in time, so that the mouth neither leads nor lags behind the sound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import ShortTimeFFT

from avsep.signals import FRAME_RATE, SAMPLE_RATE
from preprocessing.portraits.style import Style

STEP_RATE = 100
"""Spectra per second."""

_WINDOW = 512
_FLOOR_DB, _FULL_DB = -30.0, -4.0
_SILENT = 1e-5


@dataclass(frozen=True, eq=False)
class Motion:
    """One row a picture, FRAME_RATE pictures a second, row 0 at the first sample.

    opening: (frames,) 0 closed .. about 1. width: (frames,) -1 rounded .. 1 spread. lids: (frames,) 0 open .. 1 closed
    eyes. head: (frames, 4) shift right and down in eye distances, roll and turn in radians. light: (frames,) factor on
    the brightness.
    """

    opening: np.ndarray
    width: np.ndarray
    lids: np.ndarray
    head: np.ndarray
    light: np.ndarray

    def __len__(self) -> int:
        return len(self.opening)


def frames_for(samples: int, sample_rate: int = SAMPLE_RATE) -> int:
    """Pictures that cover so many samples."""
    return -(-samples * FRAME_RATE // sample_rate)


def animate(speech: np.ndarray, style: Style, rng: np.random.Generator) -> Motion:
    """Movement for speech (time,) float32 at SAMPLE_RATE; the same speech, style and generator state give the same."""
    frames = frames_for(len(speech))
    opening, width = mouth_motion(speech, style)
    times = np.arange(frames) / FRAME_RATE
    effort = gaussian_filter1d(opening, 6.0, mode="nearest")
    drift = np.stack([_wander(times, rng, highest) for highest in (0.35, 0.45, 0.4, 0.3)], axis=1)
    head = style.sway * drift * np.array([0.035, 0.025, 0.018, 0.05])
    head[:, 1] += style.sway * 0.03 * effort
    light = 1 + style.flicker * gaussian_filter1d(rng.standard_normal(frames + 1), 1.0, mode="nearest")[:frames] * 2
    return Motion(opening, width, _blinks(frames, style.blinks, rng), head, light)


def mouth_motion(speech: np.ndarray, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Opening and width of the mouth, (frames,) each, for speech (time,) at SAMPLE_RATE; all zero for silence.

    The jaw follows the loudness of the speech band and how much of it lies at the first formants of open vowels, so
    that nasals and closures close the lips; the width follows the second formant, high in spread vowels and low in
    rounded ones.
    """
    frames = frames_for(len(speech))
    spectra = ShortTimeFFT(np.hanning(_WINDOW), SAMPLE_RATE // STEP_RATE, SAMPLE_RATE, scale_to=None)
    steps = -(-frames * STEP_RATE // FRAME_RATE)
    needed = steps * SAMPLE_RATE // STEP_RATE
    padded = np.pad(speech, (0, max(0, needed + _WINDOW - len(speech))))
    power = np.abs(spectra.stft(padded, p0=0, p1=steps)) ** 2
    hertz = spectra.f

    def band(low: float, high: float) -> np.ndarray:
        return power[(hertz >= low) & (hertz < high)].sum(0) + 1e-12

    loudness = 10 * np.log10(band(150, 4000))
    top = np.percentile(loudness, 95)
    if top < 10 * np.log10(_SILENT):
        return np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    loud = np.clip((loudness - top - _FLOOR_DB) / (_FULL_DB - _FLOOR_DB), 0, 1.1)
    open_vowel = np.clip((10 * np.log10(band(380, 1100) / band(100, 380)) + 12) / 18, 0, 1)
    opening = loud**1.6 * (0.3 + 0.7 * open_vowel)
    tilt = 10 * np.log10(band(1700, 3200) / band(600, 1300))
    usual = np.median(tilt[loud > 0.5]) if (loud > 0.5).any() else 0.0
    width = np.tanh((tilt - usual) / 8) * np.clip(loud * 1.5, 0, 1)

    smooth = style.smoothing * STEP_RATE
    opening = gaussian_filter1d(opening, smooth, mode="constant")
    width = gaussian_filter1d(width, 1.8 * smooth, mode="constant")
    opening /= max(np.percentile(opening[opening > 0.1], 95) if (opening > 0.1).any() else 1.0, 0.1)
    # Lips that are all but closed are closed: a slit that never shuts looks lifeless.
    opening = np.clip((opening - 0.06) / 0.94, 0, 1.25) * style.gain
    at = np.arange(frames) * (STEP_RATE // FRAME_RATE)
    return opening[at].astype(np.float32), np.clip(width[at] * style.rounding, -1.2, 1.2).astype(np.float32)


def _wander(times: np.ndarray, rng: np.random.Generator, highest: float) -> np.ndarray:
    """A slow aimless curve of about unit size: a few sines below `highest` Hz."""
    hertz = rng.uniform(0.05, highest, 4)
    phase = rng.uniform(0, 2 * np.pi, 4)
    size = rng.uniform(0.3, 1.0, 4)
    return (size * np.sin(2 * np.pi * hertz * times[:, None] + phase)).sum(1) / size.sum()


def _blinks(frames: int, per_minute: float, rng: np.random.Generator) -> np.ndarray:
    """Closing of the eyes, 0..1: each blink falls in two pictures and rises in three."""
    lids = np.zeros(frames + 16)
    blink = np.array([0.45, 1.0, 1.0, 0.65, 0.25])
    at = rng.uniform(0.3, 2.5) * FRAME_RATE
    while at < frames:
        lids[int(at) : int(at) + len(blink)] = blink
        at += (0.8 + rng.exponential(max(60 / max(per_minute, 0.1) - 0.8, 0.1))) * FRAME_RATE
    return lids[:frames]
