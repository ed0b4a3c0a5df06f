"""Embeddings of voices whose evidence is known: that of a cosine."""

from __future__ import annotations

import numpy as np

SLOPE, NEITHER = 30.0, 0.3
"""Evidence for each unit of cosine, and the cosine that speaks for neither."""


def embedding(direction: np.ndarray) -> np.ndarray:
    """(..., n) of length 1 -> (..., n + 4), of which two have the evidence SLOPE * (cosine - NEITHER)."""
    rest = np.full((*direction.shape[:-1], 1), -SLOPE * NEITHER / 2)
    none = np.zeros_like(rest)
    made = np.concatenate([np.sqrt(SLOPE) * direction, none, none, rest, none], axis=-1)
    return made.astype(np.float32)
