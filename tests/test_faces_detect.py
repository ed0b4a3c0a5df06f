"""The detector's plain arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avsep.faces.detect import MtcnnDetector
from avsep.media.decode import picture_at, probe


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector()


@pytest.fixture(scope="module")
def debate(shared: Path) -> np.ndarray:
    """(3, 360, 640, 3): three pictures of two people side by side."""
    clip = probe(shared / "clips" / "overlap" / "debate_woman_man.avi")
    pictures = [picture_at(clip, seconds) for seconds in (1.0, 3.0, 5.0)]
    return np.stack([cv2.resize(p, (640, 360), interpolation=cv2.INTER_AREA) for p in pictures])


@pytest.mark.parametrize("size", [(360, 640), (30, 40), (13, 200), (5, 5)])
def test_no_face_gives_empty_arrays(detector: MtcnnDetector, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, *size, 3)).astype(np.uint8)
    for pictures in (noise, np.zeros_like(noise)):
        for found in detector(pictures, 20.0):
            assert len(found) == 0
            assert found.boxes.shape == (0, 4)
            assert found.landmarks.shape == (0, 5, 2)
            assert found.probabilities.shape == (0,)


def test_no_pictures_give_nothing(detector: MtcnnDetector) -> None:
    assert detector(np.zeros((0, 90, 160, 3), np.uint8), 20.0) == []


def test_faces_as_plain_arrays_left_eye_first(detector: MtcnnDetector, debate: np.ndarray) -> None:
    for found in detector(debate, 40.0):
        assert len(found) == 2
        for array in (found.boxes, found.landmarks, found.probabilities):
            assert array.dtype == np.float32
        assert (found.probabilities > 0.99).all()
        left_eye, right_eye, nose, left_mouth, right_mouth = found.landmarks.transpose(1, 0, 2)
        assert (left_eye[:, 0] < right_eye[:, 0]).all()
        assert (left_mouth[:, 0] < right_mouth[:, 0]).all()
        assert (left_eye[:, 1] < nose[:, 1]).all()
        assert (nose[:, 1] < left_mouth[:, 1]).all()
        assert (found.boxes[:, :2] < nose).all()
        assert (nose < found.boxes[:, 2:]).all()


def test_a_batch_is_its_pictures_one_by_one(detector: MtcnnDetector, debate: np.ndarray) -> None:
    whole = detector(debate, 40.0)
    for row, found in enumerate(whole):
        single = detector(debate[row : row + 1], 40.0)[0]
        np.testing.assert_allclose(found.landmarks, single.landmarks, atol=0.1)


@pytest.mark.parametrize("height", [24, 50])
def test_small_faces_are_found(detector: MtcnnDetector, debate: np.ndarray, height: int) -> None:
    share = height / 110  # the faces are about 110 pixels high
    small = cv2.resize(debate[0], None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    canvas = np.full((360, 640, 3), 90, np.uint8)
    canvas[40 : 40 + small.shape[0], 60 : 60 + small.shape[1]] = small
    assert len(detector(canvas[None], 20.0)[0]) == 2
