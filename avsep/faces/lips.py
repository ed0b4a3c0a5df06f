"""Mouth crops: a similarity transform puts every mouth at the same place, size and angle.

One constant set for training and inference, so that a lip model sees in use what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from avsep.signals import LIP_SIZE

EYE_DISTANCE = 49.0
"""Pixels between the eyes in a crop; lips, chin and the tip of the nose fit into LIP_SIZE around the mouth."""

MOUTH_CENTRE = (48.0, 56.0)
"""x, y of the middle of the mouth corners in a crop."""

EYE_HEIGHT = 1.14
"""Eyes above mouth corners, and ..."""

MOUTH_WIDTH = 0.81
"""... mouth corner to mouth corner, both in eye distances: what the detector gives for upright frontal faces."""

TEMPLATE = np.array(MOUTH_CENTRE) + EYE_DISTANCE * np.array(
    [[-0.5, -EYE_HEIGHT], [0.5, -EYE_HEIGHT], [-MOUTH_WIDTH / 2, 0.0], [MOUTH_WIDTH / 2, 0.0]]
)
"""(4, 2) x, y in a crop of left eye, right eye, left and right mouth corner (left of the picture)."""

ALIGNED = [0, 1, 3, 4]
"""Rows of the five landmarks that TEMPLATE speaks of; the nose moves too much with the head's turn."""

MAX_OVERSAMPLING = 12
"""Limit of samples a crop pixel and axis, reached at 588 px between the eyes."""


def similarity_transforms(landmarks: np.ndarray) -> np.ndarray:
    """Least-squares similarity (turn, scale, shift; no mirroring) from picture to crop.

    landmarks: (n, 5, 2) x, y in pixels. Returns (n, 2, 3) float64 matrices M with crop = M @ [x, y, 1]. Landmarks
    that fall into one point give the smallest scale that is still invertible.
    """
    # In the plane a similarity is multiplication by one complex number, whose least-squares solution is closed.
    points = np.asarray(landmarks, np.float64)[:, ALIGNED]
    source = points[..., 0] + 1j * points[..., 1]
    target = TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    source_mean, target_mean = source.mean(axis=1), target.mean()
    centred = source - source_mean[:, None]
    energy = np.maximum((np.abs(centred) ** 2).sum(axis=1), 1e-9)
    factor = (centred.conj() * (target - target_mean)).sum(axis=1) / energy
    factor = np.where(np.abs(factor) < 1e-6, 1e-6, factor)
    shift = target_mean - factor * source_mean
    rows = np.stack([factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag], axis=1)
    return rows.reshape(-1, 2, 3)


def crop_lips(luma: np.ndarray | Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
    """Cut the aligned mouth out of each picture.

    luma: n pictures (height, width) uint8. landmarks: (n, 5, 2) x, y in their pixels (eyes, nose, mouth corners, left
    of the picture first). Returns (n, LIP_SIZE, LIP_SIZE) uint8; what lies outside a picture repeats its edge.
    """
    if len(luma) != len(landmarks):
        raise ValueError(f"as many pictures as landmarks are needed, got {len(luma)} and {len(landmarks)}")
    crops = np.empty((len(luma), LIP_SIZE, LIP_SIZE), np.uint8)
    for row, (picture, matrix) in enumerate(zip(luma, similarity_transforms(landmarks), strict=True)):
        crops[row] = _warp(picture, matrix)
    return crops


def _warp(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Warp one picture, averaging over the area of each crop pixel when the picture is shrunk."""
    shrink = 1.0 / np.hypot(matrix[0, 0], matrix[1, 0])
    samples = int(np.clip(np.ceil(shrink), 1, MAX_OVERSAMPLING))
    # Pixel centres are whole numbers: the first of k samples lies (k - 1) / 2 samples before the centre of its pixel.
    fine = matrix * samples
    fine[:, 2] += (samples - 1) / 2
    side = LIP_SIZE * samples
    warped = cv2.warpAffine(picture, fine, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped if samples == 1 else cv2.resize(warped, (LIP_SIZE, LIP_SIZE), interpolation=cv2.INTER_AREA)


def lip_quality(landmarks: np.ndarray, confidence: np.ndarray, picture_size: tuple[int, int]) -> np.ndarray:
    """How far each crop can be trusted: (n,) float32, from 0 (no use) to 1 (large, frontal, whole mouth in view).

    landmarks: (n, 5, 2) in pixels; confidence: (n,) probability of the detector; picture_size: (height, width).
    The product of four shares: size of the face, turn of the head, part of the crop inside the picture, confidence.
    """
    landmarks = np.asarray(landmarks, np.float64)
    matrices = similarity_transforms(landmarks)
    eye_pixels = EYE_DISTANCE / np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    size = _ramp(eye_pixels, 8.0, 28.0)
    share = _ramp(_share_inside(matrices, picture_size), 0.5, 0.95)
    sure = _ramp(np.asarray(confidence, np.float64), 0.5, 0.95)
    return (size * _frontal(landmarks) * share * sure).astype(np.float32)


def _ramp(value: np.ndarray, zero: float, one: float) -> np.ndarray:
    return np.clip((value - zero) / (one - zero), 0.0, 1.0)


def _frontal(landmarks: np.ndarray) -> np.ndarray:
    """1 for faces towards the camera, 0 for profiles, from how the turn pushes the nose aside and narrows the face."""
    eyes, nose, mouth = landmarks[:, :2], landmarks[:, 2], landmarks[:, 3:]
    height = np.maximum(np.linalg.norm(eyes.mean(axis=1) - mouth.mean(axis=1), axis=1), 1e-6)
    # Widths along the face's own horizontal, at right angles to the line from mouth to eyes.
    up = (eyes.mean(axis=1) - mouth.mean(axis=1)) / height[:, None]
    across = np.stack([-up[:, 1], up[:, 0]], axis=1)
    eye_width = np.einsum("nk,nk->n", eyes[:, 1] - eyes[:, 0], across)
    mouth_width = np.einsum("nk,nk->n", mouth[:, 1] - mouth[:, 0], across)
    middle = (eyes.mean(axis=1) + mouth.mean(axis=1)) / 2
    nose_aside = np.abs(np.einsum("nk,nk->n", nose - middle, across))
    narrow = _ramp((eye_width + mouth_width) / height, 0.6, 1.2)
    return narrow * (1.0 - _ramp(nose_aside / height, 0.2, 0.5))


def _share_inside(matrices: np.ndarray, picture_size: tuple[int, int]) -> np.ndarray:
    """Part of each crop that the picture covers, from a lattice of points: (n,) in 0..1."""
    ticks = np.linspace(0.0, LIP_SIZE - 1.0, 12)
    lattice = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    turn, shift = matrices[:, :, :2], matrices[:, :, 2]
    points = (lattice[None] - shift[:, None]) @ np.linalg.inv(turn).transpose(0, 2, 1)
    height, width = picture_size
    x, y = points[..., 0], points[..., 1]
    return ((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)).mean(axis=1)
