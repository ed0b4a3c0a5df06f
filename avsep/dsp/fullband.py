"""From estimates at the models' rate to the rate and channels of the input.

An estimate of one channel is placed in the input's channels by Wiener filters; one with as many channels as the input
is placed as it is. What lies above the estimates' band is divided by how much of the top of the band is whose.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import firwin, oaconvolve

from avsep.dsp.resample import context_samples, resample
from avsep.signals import SAMPLE_RATE

TOP_FROM = 3 / 8
"""Part of the estimates' band above which it tells how the sound beyond it is divided: 3 kHz of 8."""
FRAMES_A_SECOND = 50


def high_band_weights(estimates: np.ndarray, mixture: np.ndarray, rate: int = SAMPLE_RATE) -> np.ndarray:
    """What part of the top of the band is each estimate's: (tracks, time), (time,) at `rate` -> (tracks, time) in 0..1,
    adding up to at most 1."""
    frame = rate // FRAMES_A_SECOND
    taps = firwin(63, TOP_FROM * rate / 2, fs=rate, pass_zero=False)
    rest = mixture - estimates.sum(axis=0)
    bands = oaconvolve(np.concatenate([estimates, rest[None]]), taps[None], mode="same", axes=1)
    time = bands.shape[1]
    frames = np.pad(bands**2, ((0, 0), (0, -time % frame))).reshape(len(bands), -1, frame).mean(axis=2)
    smooth = np.pad(frames, ((0, 0), (1, 1)), mode="edge")
    smooth = (smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]) / 4
    weights = smooth[:-1] / (smooth.sum(axis=0) + 1e-10)
    centres = (np.arange(weights.shape[1]) + 0.5) * frame
    return np.stack([np.interp(np.arange(time), centres, w) for w in weights]).astype(np.float32)


def spread(
    estimates: np.ndarray, wide: np.ndarray, rate: int, own_rate: int, images: Callable[..., np.ndarray]
) -> np.ndarray:
    """Estimates with context at `own_rate`, (tracks, 1 or as many channels as the input, edge + time + edge), and the
    input with context at `rate`, (channels, ...), -> (tracks, channels, time at `rate`) without context.

    images: places estimates of one channel (tracks, time) in all channels (channels, time), see `ChannelImages`.
    """
    edge = context_samples(rate, own_rate)
    size = wide.shape[1] - 2 * edge
    mixture = resample(wide.mean(axis=0), rate, own_rate)
    estimates = estimates[..., : len(mixture)]
    low = resample(estimates, own_rate, rate)[..., : wide.shape[1]]
    narrow = wide
    if rate != own_rate:
        narrow = resample(resample(wide, rate, own_rate), own_rate, rate)[:, : wide.shape[1]]
    out = images(low[:, 0], narrow) if low.shape[1] == 1 else low
    if rate > own_rate:
        mono = estimates[:, 0] if estimates.shape[1] == 1 else estimates.mean(axis=1)
        weights = stretched(high_band_weights(mono, mixture, own_rate), wide.shape[1])
        out = out + weights[:, None] * (wide - narrow)
    return out[..., edge : edge + size]


def stretched(curves: np.ndarray, time: int) -> np.ndarray:
    """Slow curves (tracks, n) stretched to (tracks, time)."""
    old = np.linspace(0, 1, curves.shape[1], endpoint=False)
    new = np.linspace(0, 1, time, endpoint=False)
    return np.stack([np.interp(new, old, curve) for curve in curves]).astype(np.float32)
