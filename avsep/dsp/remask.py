"""Estimates made to fit the mixture: each gets its share of every time-frequency bin, what fits none stays over."""

from __future__ import annotations

import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

WINDOW, HOP = 1024, 256
"""Samples at the models' rate: 64 ms, in steps of 16 ms."""
TINY = 1e-9


def remask(estimates: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """Ratio masks over magnitudes, the rest of the mixture counting as one more source: (sources, time), (time,) ->
    (sources, time).

    A network of few parameters leaves parts of both voices out; the mask puts them back where they belong, with the
    mixture's own phase (ideal ratio mask, Wang et al., 2014, with estimates in place of the sources).
    """
    time = len(mixture)
    if time < WINDOW:
        return estimates
    transform = ShortTimeFFT(hann(WINDOW, sym=False), HOP, fs=1)
    parts = np.concatenate([estimates, (mixture - estimates.sum(axis=0))[None]])
    size = np.abs(transform.stft(parts))
    masks = size[:-1] / (size.sum(axis=0) + TINY)
    return transform.istft(masks * transform.stft(mixture), k1=time).astype(np.float32)
