"""All faces of a clip in one pass over its pictures, with a bounded number of pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsep.faces.detect import NOTHING, Detections, Detector, MtcnnDetector
from avsep.faces.shots import CutFinder
from avsep.faces.track import DETECT_EVERY, LONGEST_GAP, Following, Picture, match
from avsep.signals import FRAME_RATE, LIP_SIZE, FaceTrack, VideoFrames
from avsep.storage.spool import Spool

SMALLEST_FACE = 20.0
"""Height in pixels of the preview of the smallest face looked for (about 40 of a 720p picture)."""

FULL_SCAN_EVERY = 3 * DETECT_EVERY
"""Grid numbers between scans for the smallest faces (about 1 s), which cost most; the scans between look for ..."""

SHRINK = 0.6
"""... faces down to this share of the smallest one followed, ..."""

NEW_FACE = 48.0
"""... and for new ones of at least this height."""


@dataclass(frozen=True)
class FacesFound:
    """tracks: all faces, by their start, then left to right. cuts: grid numbers that begin a new shot."""

    tracks: list[FaceTrack]
    cuts: list[int]


def find_faces(
    chunks: Iterable[VideoFrames],
    *,
    device: str,
    folder: Path | None,
    progress: Callable[[float], None] | None = None,
    detector: Detector | None = None,
) -> FacesFound:
    """Find and follow every face, and cut its mouth out of each picture.

    chunks: consecutive pictures of one size, consumed once. device: a torch device's name. folder: where mouth crops
    wait on disk. progress: called with the seconds of video done. detector: MTCNN unless given.
    """
    search = _Search(detector or MtcnnDetector(device), folder)
    for chunk in chunks:
        search.add(chunk)
        if progress is not None:
            progress((chunk.first + len(chunk)) / FRAME_RATE)
    return search.finish()


class _Search:
    def __init__(self, detector: Detector, folder: Path | None) -> None:
        self.detector, self.folder = detector, folder
        self.cut_finder = CutFinder()
        self.cuts: list[int] = []
        self.open: list[Following] = []
        self.tracks: list[FaceTrack] = []
        self.crops = Spool(folder, (LIP_SIZE, LIP_SIZE), np.uint8)
        self.pictures: dict[int, Picture] = {}
        self.latest: tuple[int, np.ndarray] | None = None  # newest picture, and whether it was scanned
        self.scanned = -(10**9)
        self.scale = np.ones(2)

    def add(self, chunk: VideoFrames) -> None:
        import cv2

        if not len(chunk):
            return
        self.scale = np.array(
            [chunk.luma.shape[2] / chunk.preview.shape[2], chunk.luma.shape[1] / chunk.preview.shape[1]]
        )
        cuts = self.cut_finder(chunk.preview, chunk.first)
        previews = dict(enumerate(chunk.preview, chunk.first))
        if self.latest is not None and chunk.first in cuts:
            self._scan_last()
        for number, preview in previews.items():
            gray = cv2.cvtColor(preview, cv2.COLOR_RGB2GRAY)
            self.pictures[number] = Picture(chunk.luma[number - chunk.first], gray)
        for number, found in self._scan(previews, cuts):
            if number in cuts:
                self._close(self.open)
            self._observe(number, found, previews[number])
        self.cuts += cuts
        last = chunk.first + len(chunk) - 1
        self.latest = (last, previews[last].copy())
        self._cut_mouths(last)

    def finish(self) -> FacesFound:
        self._scan_last()
        self._close(self.open)
        self.tracks.sort(key=lambda t: (t.first, float(t.boxes[0, 0])))
        return FacesFound(self.tracks, self.cuts)

    def _scan_last(self) -> None:
        """Look at the last picture of a shot too, so that its faces are followed to the end."""
        if self.latest is not None and self.latest[0] > self.scanned:
            number, preview = self.latest
            self._observe(number, self.detector(preview[None], self._smallest([]))[0], preview)

    def _scan(self, previews: dict[int, np.ndarray], cuts: list[int]) -> list[tuple[int, Detections]]:
        """Detections at the pictures of a chunk that are due, in order of time."""
        start = min(previews)
        fully = {k for k in previews if k % FULL_SCAN_EVERY == 0 or k in cuts}
        if self.latest is None:
            fully.add(start)
        ends = {cut - 1 for cut in cuts if cut > start}
        briefly = ({k for k in previews if k % DETECT_EVERY == 0} | ends) - fully
        found: dict[int, Detections] = {}
        found.update(self._detect(previews, sorted(fully), SMALLEST_FACE))
        found.update(self._detect(previews, sorted(briefly), self._smallest(list(found.values()))))
        return sorted(found.items())

    def _detect(self, previews: dict[int, np.ndarray], numbers: list[int], smallest: float) -> dict[int, Detections]:
        if not numbers:
            return {}
        found = self.detector(np.stack([previews[k] for k in numbers]), smallest)
        return dict(zip(numbers, found, strict=True))

    def _smallest(self, found: list[Detections]) -> float:
        """Height in preview pixels from which on the brief scans look for faces."""
        heights = [float(f.box[3] - f.box[1]) / self.scale[1] for f in self.open]
        heights += [float(h) for d in found for h in d.boxes[:, 3] - d.boxes[:, 1]]
        return float(np.clip(SHRINK * min(heights, default=NEW_FACE / SHRINK), SMALLEST_FACE, NEW_FACE))

    def _observe(self, number: int, found: Detections, preview: np.ndarray) -> None:
        """Continue the faces followed with those found at grid `number`, and begin to follow the others."""
        self.scanned = number
        self._close([f for f in self.open if number - f.seen > LONGEST_GAP])
        found = self._full_size(found)
        boxes = np.stack([f.box for f in self.open]) if self.open else np.empty((0, 4), np.float32)
        pairs = match(boxes, found.boxes)
        size = self.pictures[number].luma.shape
        touched = []
        for row, column in pairs:
            self.open[row].extend(number, found.take([column]), self.pictures, self.scale)
            touched.append(self.open[row])
        for column in sorted(set(range(len(found))) - {column for _, column in pairs}):
            self.open.append(Following(number, found.take([column]), self.folder))
            touched.append(self.open[-1])
        for face in touched:
            face.offer_portrait(preview, self.scale, (size[0], size[1]))

    def _full_size(self, found: Detections) -> Detections:
        """From preview to full pixels; pixel centres are whole numbers. Left to right, for a stable order."""
        if not len(found):
            return NOTHING
        boxes = (found.boxes.reshape(-1, 2, 2) * self.scale).reshape(-1, 4).astype(np.float32)
        landmarks = ((found.landmarks + 0.5) * self.scale - 0.5).astype(np.float32)
        return Detections(boxes, landmarks, found.probabilities).take(np.lexsort((boxes[:, 1], boxes[:, 0])))

    def _close(self, faces: list[Following]) -> None:
        for face in list(faces):
            self.open.remove(face)
            if face.believable:
                face.cut_mouths(self.pictures, closed=True)
                self.tracks.append(face.track(self.crops))
            else:
                face.drop()

    def _cut_mouths(self, last: int) -> None:
        """Cut what can be cut, then forget the pictures nobody needs any more."""
        for face in self.open:
            face.cut_mouths(self.pictures, closed=False)
        # Flow starts at the latest detection; cutting may lag behind that by the look-ahead.
        needed = min((min(face.cut_to, face.seen) for face in self.open), default=last)
        for number in [k for k in self.pictures if k < min(needed, last)]:
            del self.pictures[number]
