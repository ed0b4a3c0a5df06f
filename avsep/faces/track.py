"""Following faces from scan to scan, within one shot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsep.faces import flow
from avsep.faces.detect import Detections
from avsep.faces.lips import crop_lips, lip_quality
from avsep.signals import FRAME_RATE, LIP_SIZE, FaceTrack, LipClip
from avsep.storage.spool import Spool

DETECT_EVERY = 8
"""Grid numbers between scans for faces (0.32 s)."""

LONGEST_GAP = FRAME_RATE
"""Grid numbers without a detection after which a face is gone (1 s)."""

FLOW_REACH = 2 * DETECT_EVERY
"""Longer gaps hide the face from optical flow more often than not; a straight line bridges them."""

SMOOTHING_SIGMA = 2.0
"""Of the Gaussian over time on boxes and landmarks, in grid numbers."""

LOOK_AHEAD = 6
"""Reach of that Gaussian: three sigmas."""

NEAR = 0.7
"""Farthest a face moves from scan to scan, in its own sizes, ..."""

RESIZE = 1.7
"""... and the most its size changes."""

SURE = 0.95
"""Probability that one detection of a track must reach."""

PORTRAITS = 3
"""Pictures kept of a track for recognition; every one is 77 kB for the whole run."""

PORTRAIT_SIZE = 160
"""Side of a portrait in pixels, that of FaceNet's input."""

PORTRAIT_MARGIN = 0.1
"""Border of a portrait on each side, as a share of the face box."""

PORTRAIT_SPACING = FRAME_RATE // 2
"""Least grid numbers from portrait to portrait: neighbours show the same."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture of the stream. luma: (height, width) uint8, full size; gray: the same at the size of the preview."""

    luma: np.ndarray
    gray: np.ndarray


def match(boxes: np.ndarray, found: np.ndarray) -> list[tuple[int, int]]:
    """Pair the boxes of followed faces (n, 4) with those found in the next scan (m, 4), the nearest overall.

    Returns pairs (followed, found); faces too far away or too different in size stay alone.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(boxes) or not len(found):
        return []

    def centre_and_size(b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (b[:, :2] + b[:, 2:]) / 2, np.sqrt(np.maximum((b[:, 2:] - b[:, :2]).prod(axis=1), 1.0))

    (centre, size), (found_centre, found_size) = centre_and_size(boxes), centre_and_size(found)
    distance = np.linalg.norm(centre[:, None] - found_centre[None], axis=-1) / np.maximum(size[:, None], found_size)
    growth = np.abs(np.log(size[:, None] / found_size))
    allowed = (distance < NEAR) & (growth < np.log(RESIZE))
    cost = np.where(allowed, distance + growth, 1e3)
    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]


class Following:
    """One face while it is followed; grows from detection to detection, mouths are cut a little later."""

    def __init__(self, number: int, found: Detections, folder: Path | None) -> None:
        """found: the one face, in the full picture's pixels, seen at grid `number`."""
        self.first = self.seen = number
        self.detections = 0
        self.surest = 0.0
        self._raw: list[np.ndarray] = []  # rows: box (4), landmarks (10), confidence (1)
        self._smooth: list[np.ndarray] = []  # blocks of the same rows without confidence
        self._quality: list[np.ndarray] = []
        self._crops = Spool(folder, (LIP_SIZE, LIP_SIZE), np.uint8)
        self._best = (-1.0, number)
        self._portraits: list[tuple[float, int, np.ndarray]] = []
        self._add(_row(found))
        self._count(found)

    @property
    def box(self) -> np.ndarray:
        """Where the face was seen last: (4,)."""
        return self._raw[-1][:4]

    @property
    def cut_to(self) -> int:
        """Grid number of the next mouth to cut."""
        return self.first + len(self._crops)

    @property
    def believable(self) -> bool:
        """Two detections, one of them sure: single ones are mostly not faces."""
        return self.detections >= 2 and self.surest >= SURE

    def extend(self, number: int, found: Detections, pictures: Mapping[int, Picture], scale: np.ndarray) -> None:
        """The face was found again at grid `number`; fill what lies between. scale: (2,) full pixels a gray pixel."""
        before, after = self._raw[-1].astype(np.float64), _row(found)
        steps = number - self.seen
        share = np.linspace(0.0, 1.0, steps + 1)[1:-1, None]
        rows = (1 - share) * before + share * after
        if 1 < steps <= FLOW_REACH:
            grays = [pictures[k].gray for k in range(self.seen, number + 1)]
            ends = [(row[4:14].reshape(5, 2) + 0.5) / scale - 0.5 for row in (before, after)]
            rows[:, 4:14] = ((flow.between(grays, *ends) + 0.5) * scale - 0.5).reshape(-1, 10)
        for row in rows:
            self._add(row)
        self._add(after)
        self.seen = number
        self._count(found)

    def _add(self, row: np.ndarray) -> None:
        self._raw.append(row.astype(np.float32))

    def _count(self, found: Detections) -> None:
        self.detections += 1
        self.surest = max(self.surest, float(found.probabilities[0]))

    def offer_portrait(self, preview: np.ndarray, scale: np.ndarray, picture_size: tuple[int, int]) -> None:
        """Consider the picture of the latest detection for recognition. preview: (height, width, 3) uint8 RGB."""
        row = self._raw[-1][None]
        score = float(_showing(row, lip_quality(row[:, 4:14].reshape(-1, 5, 2), row[:, 14], picture_size))[0])
        near = [p for p in self._portraits if self.seen - p[1] < PORTRAIT_SPACING]
        if near and near[-1][0] >= score:
            return
        kept = [p for p in self._portraits if not near or p is not near[-1]]
        if len(kept) == PORTRAITS:
            worst = min(kept, key=lambda p: p[0])
            if worst[0] >= score:
                return
            kept.remove(worst)
        self._portraits = [*kept, (score, self.seen, portrait(preview, self.box.reshape(2, 2) / scale))]

    def cut_mouths(self, pictures: Mapping[int, Picture], *, closed: bool) -> None:
        """Smooth and cut all mouths whose smoothing no later picture changes (all, when the track is closed)."""
        from scipy.ndimage import gaussian_filter1d

        start = len(self._crops)
        stop = len(self._raw) if closed else len(self._raw) - LOOK_AHEAD
        if stop <= start:
            return
        low, high = max(0, start - LOOK_AHEAD), min(len(self._raw), stop + LOOK_AHEAD)
        raw = np.stack(self._raw[low:high])
        smooth = gaussian_filter1d(raw[:, :14], SMOOTHING_SIGMA, axis=0, mode="nearest", truncate=3.0)
        smooth, confidence = smooth[start - low : stop - low], raw[start - low : stop - low, 14]
        landmarks = smooth[:, 4:].reshape(-1, 5, 2)
        lumas = [pictures[k].luma for k in range(self.first + start, self.first + stop)]
        self._crops.append(crop_lips(lumas, landmarks))
        quality = lip_quality(landmarks, confidence, lumas[0].shape)
        showing = _showing(np.concatenate([smooth, confidence[:, None]], axis=1), quality)
        top = int(showing.argmax())
        self._best = max(self._best, (float(showing[top]), self.first + start + top))
        self._smooth.append(smooth)
        self._quality.append(quality)

    def track(self, shared: Spool) -> FaceTrack:
        """The finished track; its mouths move into the shared spool, for open files are limited in number."""
        start = len(shared)
        for row in range(0, len(self._crops), 256):
            shared.append(self._crops.read(row, row + 256))
        self.drop()
        smooth = np.concatenate(self._smooth).astype(np.float32)
        portraits = [p for _, _, p in sorted(self._portraits, key=lambda p: -p[0])]
        return FaceTrack(
            first=self.first,
            boxes=smooth[:, :4],
            landmarks=smooth[:, 4:].reshape(-1, 5, 2),
            confidence=np.stack(self._raw)[:, 14],
            portraits=np.stack(portraits) if portraits else np.empty((0, PORTRAIT_SIZE, PORTRAIT_SIZE, 3), np.uint8),
            best=self._best[1],
            lips=LipClip(shared.section(start, len(shared)), np.concatenate(self._quality), self.first),
        )

    def drop(self) -> None:
        """Give back the disk."""
        self._crops.close()


def _row(found: Detections) -> np.ndarray:
    return np.concatenate([found.boxes[0], found.landmarks[0].reshape(-1), found.probabilities]).astype(np.float64)


def _showing(rows: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """How well pictures show the face: (n,), larger for large, frontal, sure ones."""
    size = np.sqrt(np.maximum((rows[:, 2:4] - rows[:, :2]).prod(axis=1), 1.0))
    return size * (0.05 + quality) * rows[:, 14]


def portrait(preview: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The face with a border, brought to (PORTRAIT_SIZE, PORTRAIT_SIZE, 3). corners: (2, 2) of its box."""
    import cv2

    border = PORTRAIT_MARGIN * (corners[1] - corners[0])
    height, width = preview.shape[:2]
    left, top = np.clip((corners[0] - border).astype(int), 0, [width - 2, height - 2])
    right, bottom = np.clip((corners[1] + border).astype(int), [left + 2, top + 2], [width, height])
    face = preview[top:bottom, left:right]
    shrinks = min(face.shape[:2]) > PORTRAIT_SIZE
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(face, (PORTRAIT_SIZE, PORTRAIT_SIZE), interpolation=how)
