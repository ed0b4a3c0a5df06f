"""Estimates of any gain and sign, brought to the level that they have in the mixture."""

from __future__ import annotations

import numpy as np

TINY = 1e-12
RIDGE = 1e-3
"""Relative to the power of each estimate: where two of them are one and the same, both get half of it."""


def fitted_to(mixture: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Each estimate times one number, so that the sum of all is as near the mixture as can be (least squares).

    mixture (channels, time), estimates (sources, channels, time), of which there may be fewer channels -> the shape of
    the estimates. What is silent stays so.
    """
    parts = estimates.reshape(len(estimates), -1).astype(np.float64)
    whole = mixture[: estimates.shape[1]].ravel().astype(np.float64)
    unit = parts / (np.linalg.norm(parts, axis=1, keepdims=True) + TINY)
    gains = np.linalg.solve(unit @ unit.T + RIDGE * np.eye(len(unit)), unit @ whole)
    return (unit * gains[:, None]).reshape(estimates.shape).astype(np.float32)
