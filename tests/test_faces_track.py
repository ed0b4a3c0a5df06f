"""Following faces through a stream, with a detector that knows where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from avsep.faces import FacesFound, find_faces, flow
from avsep.faces.detect import NOTHING, Detections
from avsep.faces.find import _Search
from avsep.faces.track import DETECT_EVERY, LONGEST_GAP, match
from avsep.signals import VideoFrames

SHAPE = np.array([[-10, -12], [10, -12], [0, 0], [-8, 12], [8, 12]], np.float32)
BOX = np.array([-20, -25, 20, 25], np.float32)

Where = Callable[[int], list[tuple[float, float]]]


def texture(seed: int, height: int = 120, width: int = 200) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, None, 2)
    return ((blurred - blurred.min()) / np.ptp(blurred) * 255).astype(np.uint8)


def picture(number: int, where: Where, shot: int) -> np.ndarray:
    """A textured background with a textured patch for each face; the patch's mean gray tells the faces apart."""
    canvas = texture(100 + shot)
    for who, (x, y) in enumerate(where(number)):
        patch = texture(who, 60, 50)
        matrix = np.array([[1, 0, x - 25], [0, 1, y - 30]], np.float32)
        cv2.warpAffine(patch, matrix, (200, 120), dst=canvas, borderMode=cv2.BORDER_TRANSPARENT)
    return canvas


class Oracle:
    """A detector that reads the faces' places off the picture's number, which it finds in a list."""

    def __init__(self, pictures: list[np.ndarray], where: Where, order: int = 1) -> None:
        self.numbers = {p.tobytes(): k for k, p in enumerate(pictures)}
        self.where, self.order = where, order
        self.scanned: list[int] = []

    def __call__(self, pictures: np.ndarray, smallest: float) -> list[Detections]:
        found = []
        for p in pictures:
            number = self.numbers[p.tobytes()]
            self.scanned.append(number)
            points = np.array(self.where(number)[:: self.order], np.float32).reshape(-1, 2)
            boxes = (BOX.reshape(2, 2) + points[:, None]).reshape(-1, 4)
            sure = np.full(len(points), 0.99, np.float32)
            found.append(Detections(boxes, SHAPE + points[:, None], sure) if len(points) else NOTHING)
        return found


def run(
    frames: int,
    where: Where,
    *,
    seen: Where | None = None,
    cut: int | None = None,
    chunk: int = 25,
    order: int = 1,
    scale: int = 2,
    folder: Path | None = None,
) -> FacesFound:
    """find_faces over a made-up clip; `seen` is what the detector finds when that is not what is there."""
    pictures = [picture(k, where, 0 if cut is None or k < cut else 1) for k in range(frames)]
    # A mark no two pictures share, where no face ever is.
    for k, p in enumerate(pictures):
        p[0, 0] = (k % 256, k // 256, 0)

    def chunks() -> Iterator[VideoFrames]:
        for k in range(0, frames, chunk):
            preview = np.stack(pictures[k : k + chunk])
            luma = preview[..., 1].repeat(scale, axis=1).repeat(scale, axis=2)
            yield VideoFrames(luma, preview, k)

    oracle = Oracle(pictures, seen or where, order)
    return find_faces(chunks(), device="cpu", folder=folder, detector=oracle)


def still(number: int) -> list[tuple[float, float]]:
    return [(50.0, 60.0), (140.0, 55.0)]


def drifting(number: int) -> list[tuple[float, float]]:
    return [(50.0 + 0.8 * number, 60 + 8 * np.sin(number / 6))]


def test_still_faces_are_followed_from_the_first_to_the_last_picture() -> None:
    found = run(43, still)
    assert [(t.first, len(t)) for t in found.tracks] == [(0, 43), (0, 43)]
    assert found.cuts == []
    for track, centre in zip(found.tracks, still(0), strict=True):
        np.testing.assert_allclose(track.boxes, np.tile((BOX.reshape(2, 2) + centre).reshape(4) * 2, (43, 1)), atol=0.1)
        expected = (SHAPE + centre + 0.5) * 2 - 0.5
        np.testing.assert_allclose(track.landmarks, np.tile(expected, (43, 1, 1)), atol=0.5)
        assert len(track.lips) == len(track.lips.crops) == 43
        assert track.lips.first == track.first
        assert 1 <= len(track.portraits) <= 3
        assert track.portraits.shape[1:] == (160, 160, 3)
        assert 0 <= track.best < 43


def test_flow_follows_between_the_scans() -> None:
    track = run(60, drifting).tracks[0]
    truth = np.array([drifting(k)[0] for k in range(60)])
    centre = (track.landmarks[:, 2] + 0.5) / 2 - 0.5
    curve = np.linalg.norm(centre - truth, axis=1)[8:-8]
    assert curve.max() < 1.2  # straight lines between scans are off by up to 1.7 here


def test_flow_meets_both_detections_and_the_truth_between() -> None:
    pictures = [picture(k, drifting, 0)[..., 1] for k in range(9)]
    truth = np.stack([SHAPE + drifting(k)[0] for k in range(9)])
    found = flow.between(pictures, truth[0], truth[-1])
    assert found.shape == (7, 5, 2)
    assert np.linalg.norm(found - truth[1:-1], axis=2).mean() < 0.5
    assert flow.between(pictures[:2], truth[0], truth[1]).shape == (0, 5, 2)


def test_lost_flow_gives_way_to_a_straight_line() -> None:
    pictures = [texture(k)[..., 1] for k in range(5)]
    before, after = np.add(SHAPE, (50, 60)), np.add(SHAPE, (90, 60))
    line = np.linspace(before, after, 5)[1:-1]
    np.testing.assert_allclose(flow.between(pictures, before, after), line, atol=1e-4)


@pytest.mark.parametrize("chunk", [7, 16, 60])
def test_chunks_do_not_matter(chunk: int) -> None:
    whole, parts = run(60, drifting, chunk=25), run(60, drifting, chunk=chunk)
    assert [(t.first, len(t)) for t in whole.tracks] == [(t.first, len(t)) for t in parts.tracks]
    np.testing.assert_allclose(whole.tracks[0].landmarks, parts.tracks[0].landmarks, atol=1e-3)
    np.testing.assert_array_equal(whole.tracks[0].lips.crops.read(0, 60), parts.tracks[0].lips.crops.read(0, 60))


def test_the_order_of_detections_does_not_matter() -> None:
    a, b = run(33, still), run(33, still, order=-1)
    assert len(a.tracks) == 2
    for one, other in zip(a.tracks, b.tracks, strict=True):
        np.testing.assert_array_equal(one.landmarks, other.landmarks)
        np.testing.assert_array_equal(one.lips.crops.read(0, 33), other.lips.crops.read(0, 33))


@pytest.mark.parametrize("chunk", [10, 20, 25])
def test_a_cut_closes_tracks(chunk: int) -> None:
    found = run(45, still, cut=20, chunk=chunk)
    assert found.cuts == [20]
    assert [(t.first, len(t)) for t in found.tracks] == [(0, 20), (0, 20), (20, 25), (20, 25)]


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    def away(start: int, stop: int) -> Where:
        return lambda k: [] if start <= k < stop else still(k)[:1]

    one = still
    assert [(t.first, len(t)) for t in run(80, one, seen=away(18, 38)).tracks] == [(0, 80)]
    split = run(100, one, seen=away(18, 18 + LONGEST_GAP + 2 * DETECT_EVERY))
    assert [(t.first, len(t)) for t in split.tracks] == [(0, 17), (64, 36)]


def test_one_detection_is_not_a_face() -> None:
    assert run(40, still, seen=lambda k: still(k) if k == 16 else []).tracks == []


def test_nothing_in_nothing_out() -> None:
    assert find_faces(iter(()), device="cpu", folder=None, detector=Oracle([], still)) == FacesFound([], [])
    assert run(1, still).tracks == []


def test_scans_are_few_and_memory_is_bounded() -> None:
    frames = 400
    pictures = [picture(k, still, 0) for k in range(frames)]
    for k, p in enumerate(pictures):
        p[0, 0] = (k % 256, k // 256, 0)
    oracle = Oracle(pictures, lambda k: still(k) if k < 200 else [])
    search = _Search(oracle, None)
    held = []
    for k in range(0, frames, 25):
        preview = np.stack(pictures[k : k + 25])
        search.add(VideoFrames(preview[..., 1], preview, k))
        held.append(len(search.pictures))
    assert max(held) <= 2 * LONGEST_GAP + 2 * DETECT_EVERY
    assert held[-1] <= DETECT_EVERY + 1
    search.finish()
    assert len(oracle.scanned) <= frames / DETECT_EVERY + 2


def test_match_takes_the_best_pairs_overall_and_leaves_strangers() -> None:
    boxes = np.array([[0, 0, 40, 40], [50, 0, 90, 40], [300, 0, 340, 40]], np.float32)
    found = np.array([[48, 0, 88, 40], [20, 0, 60, 40], [600, 0, 640, 40], [290, -10, 390, 90]], np.float32)
    assert match(boxes, found) == [(0, 1), (1, 0)]
    assert match(boxes[:0], found) == []
    assert match(boxes, found[:0]) == []
