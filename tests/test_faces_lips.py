"""Mouth crops: the transform, the crop, its quality."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avsep.faces.lips import ALIGNED, MOUTH_CENTRE, TEMPLATE, crop_lips, lip_quality, similarity_transforms
from avsep.signals import LIP_SIZE

NOSE = TEMPLATE.mean(axis=0)
FACE = np.insert(TEMPLATE, 2, NOSE, axis=0)
"""(5, 2): a frontal face that needs no transform at all."""


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return points @ np.array([[c, s], [-s, c]]) + shift


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, None, 3)
    return ((blurred - blurred.min()) / np.ptp(blurred) * 255).astype(np.uint8)


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (20, 0.5), (-35, 4.0), (170, 0.2)])
def test_a_known_similarity_is_recovered(degrees: float, scale: float) -> None:
    landmarks = turned(FACE, degrees, scale, (300.0, -20.0))
    matrix = similarity_transforms(landmarks[None])[0]
    back = landmarks[ALIGNED] @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, TEMPLATE, atol=1e-6)
    assert np.hypot(*matrix[:, 0]) == pytest.approx(1 / scale)


def test_noisy_landmarks_give_the_least_squares_fit() -> None:
    landmarks = FACE + np.random.default_rng(1).normal(0, 2, FACE.shape)
    matrix = similarity_transforms(landmarks[None])[0]

    def error(a: float, b: float, x: float, y: float) -> float:
        fitted = landmarks[ALIGNED] @ np.array([[a, b], [-b, a]]) + (x, y)
        return float(((fitted - TEMPLATE) ** 2).sum())

    best = (matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2])
    for row in range(4):
        for step in (-1e-2, 1e-2):
            other = np.array(best)
            other[row] += step
            assert error(*other) > error(*best)


def test_the_mouth_lands_in_its_place() -> None:
    landmarks = turned(FACE, 15, 2.5, (200.0, 150.0))
    picture = np.zeros((720, 720), np.uint8)
    mouth = landmarks[3:].mean(axis=0)
    cv2.circle(picture, mouth.round().astype(int).tolist(), 12, 255, -1)
    crop = crop_lips(picture[None], landmarks[None])[0].astype(float)
    ys, xs = np.mgrid[:LIP_SIZE, :LIP_SIZE]
    assert (xs * crop).sum() / crop.sum() == pytest.approx(MOUTH_CENTRE[0], abs=0.5)
    assert (ys * crop).sum() / crop.sum() == pytest.approx(MOUTH_CENTRE[1], abs=0.5)


def test_moving_with_the_picture_changes_nothing() -> None:
    picture = smooth_picture(400, 500)
    landmarks = turned(FACE, 7, 1.3, (180.0, 130.0))
    moved = np.roll(picture, (9, -14), axis=(0, 1))
    np.testing.assert_array_equal(
        crop_lips(picture[None], landmarks[None]), crop_lips(moved[None], np.add(landmarks, (-14, 9))[None])
    )


def test_a_batch_is_its_pictures_one_by_one() -> None:
    pictures = np.stack([smooth_picture(300, 400, seed) for seed in range(4)])
    landmarks = np.stack([turned(FACE, 5 * k, 0.6 + 0.7 * k, (60.0, 50.0)) for k in range(4)])
    whole = crop_lips(pictures, landmarks)
    single = np.concatenate([crop_lips(pictures[k : k + 1], landmarks[k : k + 1]) for k in range(4)])
    assert whole.shape == (4, LIP_SIZE, LIP_SIZE)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, single)
    assert crop_lips(pictures[:0], landmarks[:0]).shape == (0, LIP_SIZE, LIP_SIZE)


def test_large_faces_are_averaged_not_sampled() -> None:
    fine = np.indices((900, 900)).sum(axis=0) % 2 * 255
    crop = crop_lips(fine.astype(np.uint8)[None], turned(FACE, 0, 7.3, (90.3, 90.1))[None])[0]
    assert np.abs(crop.astype(float) - 127.5).max() < 30  # sampling alone would give 0 and 255


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="2 and 1"):
        crop_lips(np.zeros((2, 50, 50), np.uint8), FACE[None])


def quality(landmarks: np.ndarray, confidence: float = 1.0, size: tuple[int, int] = (720, 1280)) -> float:
    return float(lip_quality(landmarks[None], np.array([confidence]), size)[0])


def test_quality_falls_with_size_turn_border_and_doubt() -> None:
    good = turned(FACE, 0, 1.0, (300.0, 300.0))
    assert quality(good) == pytest.approx(1.0)
    assert quality(turned(FACE, 30, 1.0, (300.0, 300.0))) == pytest.approx(1.0)  # a tilt is no turn
    small = [quality(turned(FACE, 0, scale, (300.0, 300.0))) for scale in (0.5, 0.35, 0.2)]
    assert 1.0 > small[0] * 0.999 > small[1] > small[2] > 0
    assert quality(turned(FACE, 0, 0.1, (300.0, 300.0))) == 0
    assert quality(turned(FACE, 0, 1.0, (-60.0, 300.0))) < 0.5
    assert quality(turned(FACE, 0, 1.0, (-500.0, 300.0))) == 0
    assert quality(good, confidence=0.7) == pytest.approx(0.444, abs=0.01)


def test_quality_of_a_profile_is_low() -> None:
    def head(turn: float) -> np.ndarray:
        """Landmarks of a head turned by so many degrees, seen straight on."""
        x = np.array([-31, 31, 0, -25, 25]) * np.cos(np.radians(turn))
        depth = np.array([0, 0, 25, 5, 5]) * np.sin(np.radians(turn))
        return np.stack([x + depth, [-35, -35, 0, 35, 35]], axis=1) + 300

    values = [quality(head(turn)) for turn in (0, 15, 35, 60, 85)]
    assert values[0] == pytest.approx(1.0)
    assert values == sorted(values, reverse=True)
    assert values[2] > 0.2
    assert values[3] < 0.3
    assert values[4] == 0


def test_landmarks_in_one_point_do_no_harm() -> None:
    landmarks = np.full((1, 5, 2), 20.0)
    assert np.isfinite(similarity_transforms(landmarks)).all()
    assert crop_lips(np.zeros((1, 40, 40), np.uint8), landmarks).shape == (1, LIP_SIZE, LIP_SIZE)
    assert quality(landmarks[0]) == 0
