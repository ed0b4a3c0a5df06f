"""Estimates made to fit the mixture: each gets its part of every time-frequency bin, what fits none is left over."""

from __future__ import annotations

import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

WINDOW_SECONDS = 0.064
"""1024 samples at 16 kHz; the nearest power of two at other rates, in steps of a quarter."""
TINY = 1e-9


def ratio_mask_refinement(estimates: np.ndarray, mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    """Ratio masks over magnitudes, the residual counting as one more source: (sources, time), (time,) -> (sources,
    time). Shorter signals than a window stay as they are.

    A network of few parameters leaves parts of both voices out; the mask puts them back where they belong, with the
    mixture's own phase (ideal ratio mask, Wang et al., 2014, with estimates in place of the sources).
    """
    window = 2 ** round(np.log2(WINDOW_SECONDS * sample_rate))
    time = len(mixture)
    if time < window:
        return estimates
    transform = ShortTimeFFT(hann(window, sym=False), window // 4, fs=1)
    parts = np.concatenate([estimates, (mixture - estimates.sum(axis=0))[None]])
    size = np.abs(transform.stft(parts))
    masks = size[:-1] / (size.sum(axis=0) + TINY)
    return transform.istft(masks * transform.stft(mixture), k1=time).astype(np.float32)
