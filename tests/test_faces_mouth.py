"""A mouth that opens and closes speaks more likely than a photograph that shakes."""

import cv2
import numpy as np
import pytest

from avsep.faces.mouth import CHUNK, LEAST, MOST, STEP, movement, speaking_odds
from avsep.signals import LIP_SIZE, FaceTrack, LipClip
from avsep.storage.spool import Spool


def face(
    opening: float = 4.0, shift: tuple[float, float] = (0, 0), zoom: float = 1.0, light: float = 0.0
) -> np.ndarray:
    """A drawn lower face: (LIP_SIZE, LIP_SIZE) uint8. opening of the lips and shift in pixels."""
    picture = np.full((LIP_SIZE, LIP_SIZE), 150.0, np.float32)
    cv2.ellipse(picture, (48, 54), (20, int(opening)), 0, 0, 360, 50.0, -1)
    cv2.ellipse(picture, (48, 26), (8, 5), 0, 0, 360, 90.0, -1)
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    matrix = np.array([[zoom, 0, shift[0] + 48 * (1 - zoom)], [0, zoom, shift[1] + 48 * (1 - zoom)]])
    moved = cv2.warpAffine(picture, matrix, (LIP_SIZE, LIP_SIZE), borderMode=cv2.BORDER_REPLICATE)
    return (moved + light).clip(0, 255).astype(np.uint8)


def track(crops: list[np.ndarray], first: int = 0) -> FaceTrack:
    rows = Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8)
    rows.append(np.stack(crops))
    count = len(crops)
    lips = LipClip(rows, np.ones(count, np.float32), first)
    shapes = np.zeros((count, 4)), np.zeros((count, 5, 2)), np.ones(count), np.zeros((0, 160, 160, 3))
    return FaceTrack(first, *shapes, 0, lips)


def talking(pictures: int) -> list[np.ndarray]:
    return [face(opening=8 + 6 * np.sin(2 * np.pi * k / 7)) for k in range(pictures)]


def shaking(pictures: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        face(shift=tuple(rng.uniform(-1.5, 1.5, 2)), zoom=rng.uniform(0.98, 1.02), light=rng.uniform(-15, 15))
        for _ in range(pictures)
    ]


def test_a_mouth_that_opens_moves_and_a_picture_that_shakes_does_not():
    assert np.median(movement(track(talking(60)))) > 4 * np.median(movement(track(shaking(60))))
    assert movement(track([face()] * 60)).max() == pytest.approx(0, abs=1e-4)


def test_odds_go_with_movement_and_keep_their_bounds():
    centres = np.array([10, 30, 50])
    assert (speaking_odds(track([face()] * 60), centres) == LEAST).all()
    assert (speaking_odds(track(shaking(60)), centres) < 0).all()
    speaking = speaking_odds(track(talking(60)), centres)
    assert ((speaking > 0) & (speaking <= MOST)).all()


def test_odds_follow_the_track_on_the_time_line():
    half = track([face()] * 100 + talking(100), first=40)
    odds = speaking_odds(half, np.array([60, 220]))
    assert odds[0] == LEAST
    assert odds[1] > 0


def test_chunks_leave_no_seam():
    crops = talking(CHUNK + 40)
    whole, end = movement(track(crops)), movement(track(crops[CHUNK - 30 :]))
    np.testing.assert_allclose(whole[CHUNK - 30 + STEP :], end[STEP:], rtol=0.05)


@pytest.mark.parametrize("pictures", [1, STEP, STEP + 1])
def test_very_short_tracks_are_no_evidence_of_silence(pictures):
    odds = speaking_odds(track(talking(pictures)), np.array([0]))
    assert np.isfinite(odds).all()
    if pictures <= STEP:
        assert odds[0] == MOST
