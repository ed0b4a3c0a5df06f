"""How close a separated track is to the voice it should be."""

from __future__ import annotations

import numpy as np

_TINY = 1e-12
"""Energy added to both sides of a ratio, so that silence gives a number."""


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-distortion ratio in dB, higher is better.

    estimate and reference: (..., time), any real type, equal length. Means are removed first. Returns (...).
    The reference, scaled to fit the estimate best, is the signal; all the rest of the estimate is
    distortion: a gain on the estimate changes nothing. A silent reference gives about 0 dB or less, never NaN.
    """
    if estimate.shape[-1] != reference.shape[-1]:
        raise ValueError(
            f"estimate and reference differ in length: {estimate.shape[-1]} and {reference.shape[-1]} samples"
        )
    estimate, reference = (
        x - x.mean(axis=-1, keepdims=True) for x in (estimate.astype(np.float64), reference.astype(np.float64))
    )
    scale = (estimate * reference).sum(axis=-1, keepdims=True) / ((reference**2).sum(axis=-1, keepdims=True) + _TINY)
    target = scale * reference
    distortion = estimate - target
    return 10 * np.log10(((target**2).sum(axis=-1) + _TINY) / ((distortion**2).sum(axis=-1) + _TINY))
