"""Shot cuts."""

from __future__ import annotations

import numpy as np
import pytest

from avsep.faces.shots import CutFinder


def scene(seed: int) -> np.ndarray:
    """(90, 160, 3) uint8: coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 255, (9, 16, 3))
    return blocks.repeat(10, axis=0).repeat(10, axis=1).astype(np.uint8)


@pytest.mark.parametrize("chunk", [5, 7, 100])
def test_cuts_are_found_at_the_first_picture_of_a_shot(chunk: int) -> None:
    pictures = np.stack([scene(0)] * 20 + [scene(1)] * 15 + [scene(2)] * 3 + [scene(3)] * 12)
    finder = CutFinder()
    found = [cut for k in range(0, 50, chunk) for cut in finder(pictures[k : k + chunk], k - 4)]
    assert found == [16, 31, 34]


def test_motion_and_noise_are_no_cuts() -> None:
    generator = np.random.default_rng(0)
    moving = [np.roll(scene(0), 2 * k, axis=1) for k in range(30)]
    noisy = [np.clip(p + generator.normal(0, 6, p.shape), 0, 255).astype(np.uint8) for p in moving]
    assert CutFinder()(np.stack(noisy), 0) == []
