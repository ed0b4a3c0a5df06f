"""Where a face's landmarks were between two detections, by optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

WINDOW = 15
"""Side of the patch around a landmark that is matched, in pixels; pyramid level 2 widens it to four times that."""

LEVELS = 2

MARGIN = 1.0
"""Border around the landmarks that the flow looks at, as a share of their extent."""

LOST = 0.5
"""A flow that ends this many eye distances beside the other detection has lost the face."""


def between(pictures: Sequence[np.ndarray], before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Landmarks on the pictures between two detections.

    pictures: n gray (height, width) uint8, the first and last being those of the detections; before, after: (5, 2)
    landmarks there. Returns (n - 2, 5, 2). Pyramidal Lucas-Kanade runs from both ends, and the two are blended so
    that the result meets both detections; where it loses the face, a straight line takes its place.
    """
    steps = len(pictures) - 1
    share = np.linspace(0.0, 1.0, steps + 1)[1:-1, None, None]
    straight = (1 - share) * before + share * after
    if steps < 2:
        return straight
    views, corner = _cut_out(pictures, np.concatenate([before, after]))
    forward = _run(views, before - corner)
    backward = _run(views[::-1], after - corner)[::-1]
    miss = np.linalg.norm(np.stack([forward[-1] + corner - after, backward[0] + corner - before]), axis=-1)
    # Profiles have hardly any distance between the eyes, hence the larger of two measures of the face.
    sides = np.stack([before[1] - before[0], before[:2].mean(axis=0) - before[3:].mean(axis=0)])
    size = max(float(np.linalg.norm(sides, axis=1).max()), 1.0)
    if np.median(miss) > LOST * size:
        return straight
    return (1 - share) * forward[1:-1] + share * backward[1:-1] + corner


def _cut_out(pictures: Sequence[np.ndarray], points: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The part of the pictures around the points, and its upper left corner (2,): flow costs by the pixel."""
    low, high = points.min(axis=0), points.max(axis=0)
    border = MARGIN * (high - low).max() + 2 * WINDOW
    height, width = pictures[0].shape
    left, top = (max(0, int(v - border)) for v in low)
    right, bottom = min(width, int(high[0] + border) + 1), min(height, int(high[1] + border) + 1)
    if right - left < WINDOW or bottom - top < WINDOW:
        left, top, right, bottom = 0, 0, width, height
    return [picture[top:bottom, left:right] for picture in pictures], np.array([left, top], np.float32)


def _run(pictures: Sequence[np.ndarray], start: np.ndarray) -> np.ndarray:
    """Landmarks followed from picture to picture: (pictures, 5, 2) float32; a lost one stays where it was."""
    import cv2

    points = [start.astype(np.float32)]
    for here, there in pairwise(pictures):
        at = points[-1][:, None]
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            here, there, at, at.copy(), winSize=(WINDOW, WINDOW), maxLevel=LEVELS
        )
        points.append(np.where(np.asarray(found) == 1, np.asarray(moved)[:, 0], points[-1]))
    return np.stack(points)
