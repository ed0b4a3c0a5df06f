"""How close an estimate is to the source it should be: energy ratios in dB, and masks against masks."""

from __future__ import annotations

import numpy as np

_TINY = 1e-12
"""Energy added to both sides of a ratio, so that silence gives a number."""

BOUND_DB = 100.0
"""Larger ratios are those of two signals that are the same, or of silence; where they are averaged, they are cut."""


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019), higher is better.

    estimate and reference: (..., time), any real type, equal length. Means are removed first. Returns (...).
    The reference, scaled to fit the estimate best, is the signal; all the rest of the estimate is
    distortion: a gain on the estimate changes nothing. A silent reference gives about 0 dB or less, never NaN; a
    silent estimate about 0 dB, as any scale of it is as good.
    """
    _check_lengths(estimate, reference)
    estimate, reference = (
        x - x.mean(axis=-1, keepdims=True) for x in (estimate.astype(np.float64), reference.astype(np.float64))
    )
    scale = (estimate * reference).sum(axis=-1, keepdims=True) / ((reference**2).sum(axis=-1, keepdims=True) + _TINY)
    target = scale * reference
    distortion = estimate - target
    return 10 * np.log10(((target**2).sum(axis=-1) + _TINY) / ((distortion**2).sum(axis=-1) + _TINY))


def snr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Signal-to-noise ratio in dB: the reference's energy over that of the difference, so that level counts.

    estimate and reference: (..., time), equal length. Returns (...). A silent estimate of a reference that sounds
    gives 0 dB.
    """
    _check_lengths(estimate, reference)
    estimate, reference = estimate.astype(np.float64), reference.astype(np.float64)
    error = ((reference - estimate) ** 2).sum(axis=-1)
    return 10 * np.log10(((reference**2).sum(axis=-1) + _TINY) / (error + _TINY))


def attenuation(estimate: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """How far below the mixture an estimate is, in dB, at most BOUND_DB: what can be asked of a source that is silent.

    estimate and mixture: (..., time), equal length. Returns (...); NaN where the mixture is silent too.
    """
    _check_lengths(estimate, mixture)
    power = (mixture.astype(np.float64) ** 2).sum(axis=-1)
    left = (estimate.astype(np.float64) ** 2).sum(axis=-1)
    least = power * 10 ** (-BOUND_DB / 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, 10 * np.log10(power / np.maximum(left, least)), np.nan)


def precision_recall(estimate: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Precision and recall of a binary mask: boolean arrays of one shape -> two shares in 0..1.

    Precision is NaN where the estimate marks nothing, recall where the reference marks nothing.
    """
    if estimate.shape != reference.shape:
        raise ValueError(f"masks differ in shape: {estimate.shape} and {reference.shape}")
    hits = float(np.logical_and(estimate, reference).sum())
    marked, wanted = float(estimate.sum()), float(reference.sum())
    return hits / marked if marked else float("nan"), hits / wanted if wanted else float("nan")


def _check_lengths(estimate: np.ndarray, reference: np.ndarray) -> None:
    if estimate.shape[-1] != reference.shape[-1]:
        raise ValueError(
            f"estimate and reference differ in length: {estimate.shape[-1]} and {reference.shape[-1]} samples"
        )
