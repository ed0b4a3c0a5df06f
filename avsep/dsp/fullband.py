"""From estimates at the models' rate, one channel, to the rate and channels of the input.

The models hear one channel up to 8 kHz. A voice is placed in the input's channels by least-squares gains, and
what lies above the models' band is shared out by how much of the top of the band is that voice's.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import firwin, oaconvolve

from avsep.dsp.resample import context_samples, resample
from avsep.signals import SAMPLE_RATE

SHARE_FROM = 3000
"""Hz; the band above this tells how the sound beyond the models' band is shared."""
FRAME = SAMPLE_RATE // 50
MAX_GAIN = 4.0


def channel_gains(estimates: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Gains that place each estimate in each channel: (tracks, time), (channels, time) -> (channels, tracks).

    Least squares with a pull towards 1, which a silent estimate gets.
    """
    tracks = len(estimates)
    if len(channels) == 1:
        return np.ones((1, tracks), np.float32)
    gram = estimates @ estimates.T
    pull = 0.05 * np.trace(gram) / tracks + 1e-9
    offset = channels - estimates.sum(axis=0)
    delta = np.linalg.solve(gram + pull * np.eye(tracks), estimates @ offset.T)
    return np.clip(1 + delta.T, 0, MAX_GAIN).astype(np.float32)


def high_band_shares(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """What part of the band above SHARE_FROM is each estimate's: (tracks, time), (time,) at SAMPLE_RATE -> (tracks,
    time) in 0..1, adding up to at most 1."""
    taps = firwin(63, SHARE_FROM, fs=SAMPLE_RATE, pass_zero=False)
    rest = mixture - estimates.sum(axis=0)
    bands = oaconvolve(np.concatenate([estimates, rest[None]]), taps[None], mode="same", axes=1)
    time = bands.shape[1]
    frames = np.pad(bands**2, ((0, 0), (0, -time % FRAME))).reshape(len(bands), -1, FRAME).mean(axis=2)
    smooth = np.pad(frames, ((0, 0), (1, 1)), mode="edge")
    smooth = (smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]) / 4
    shares = smooth[:-1] / (smooth.sum(axis=0) + 1e-10)
    centres = (np.arange(shares.shape[1]) + 0.5) * FRAME
    return np.stack([np.interp(np.arange(time), centres, s) for s in shares]).astype(np.float32)


def spread(estimates: np.ndarray, wide: np.ndarray, rate: int) -> np.ndarray:
    """Estimates with context at SAMPLE_RATE, (tracks, edge + time + edge), and the input with context at `rate`,
    (channels, ...), -> (tracks, channels, time at `rate`) without context."""
    edge = context_samples(rate)
    size = wide.shape[1] - 2 * edge
    mixture = resample(wide.mean(axis=0), rate, SAMPLE_RATE)
    estimates = estimates[:, : len(mixture)]
    low = resample(estimates, SAMPLE_RATE, rate)[:, : wide.shape[1]]
    narrow = resample(resample(wide, rate, SAMPLE_RATE), SAMPLE_RATE, rate)[:, : wide.shape[1]]
    out = channel_gains(low, narrow).T[:, :, None] * low[:, None]
    if rate > SAMPLE_RATE:
        shares = resample_shares(high_band_shares(estimates, mixture), wide.shape[1])
        out = out + shares[:, None] * (wide - narrow)
    return out[..., edge : edge + size]


def resample_shares(shares: np.ndarray, time: int) -> np.ndarray:
    """Slow curves (tracks, n) stretched to (tracks, time)."""
    old = np.linspace(0, 1, shares.shape[1], endpoint=False)
    new = np.linspace(0, 1, time, endpoint=False)
    return np.stack([np.interp(new, old, s) for s in shares]).astype(np.float32)
