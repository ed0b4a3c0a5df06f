"""Shapes of microphone arrays: where the microphones of a simulated room stand."""

from __future__ import annotations

from typing import Literal

import numpy as np

Shape = Literal["linear", "circular", "ad_hoc"]

WALL_METRES = 0.1
"""A microphone is at least so far from every wall."""


def draw_array(
    rng: np.random.Generator, shape: Shape, microphones: int, spacing: float, radius: float, size: np.ndarray
) -> np.ndarray:
    """Positions (microphones, 3) in m in a room of `size` (3,).

    linear: on a horizontal line of any direction, `spacing` m apart. circular: evenly on a horizontal circle of
    `radius` m. Both lie around a point in the middle of the room, 0.8 to 1.8 m high. ad_hoc: each anywhere in the room,
    0.6 to 1.8 m high.
    """
    if shape == "ad_hoc":
        low = np.full(3, WALL_METRES)
        high = size - WALL_METRES
        low[2], high[2] = min(0.6, high[2]), min(1.8, high[2])
        return rng.uniform(low, high, (microphones, 3))
    middle = rng.uniform(0.3 * size, 0.7 * size)
    middle[2] = rng.uniform(0.8, min(1.8, size[2] - 0.3))
    if shape == "linear":
        angle = rng.uniform(0, np.pi)
        offsets = (np.arange(microphones) - (microphones - 1) / 2) * spacing
        flat = np.outer(offsets, [np.cos(angle), np.sin(angle)])
    else:
        angles = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(microphones) / microphones
        flat = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    array = np.tile(middle, (microphones, 1))
    array[:, :2] += flat
    return np.clip(array, WALL_METRES, size - WALL_METRES)
