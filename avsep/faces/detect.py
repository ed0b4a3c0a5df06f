"""Faces in single pictures: MTCNN behind plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

BATCH_PICTURES = 8
"""Pictures a call of the detector; bounds its memory."""

NETWORK_FACE = 12.0
"""Pixels of a face in the first stage's view."""

THRESHOLDS = [0.6, 0.7, 0.8]
"""Least probability a face needs to leave each of the three stages; the last is stricter than MTCNN's own 0.7."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces found in one picture, in its own pixels.

    boxes: (faces, 4) float32 x1, y1, x2, y2. landmarks: (faces, 5, 2) float32 (eyes, nose, mouth corners, left of
    the picture first). probabilities: (faces,) float32.
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Sequence[int] | np.ndarray) -> Detections:
        """Only those faces, in that order."""
        return Detections(self.boxes[rows], self.landmarks[rows], self.probabilities[rows])


NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


class Detector(Protocol):
    """What following faces needs of a detector."""

    def __call__(self, pictures: np.ndarray, smallest: float) -> list[Detections]:
        """Faces at least about `smallest` pixels high in each of (n, height, width, 3) uint8 RGB pictures."""


class MtcnnDetector:
    """facenet-pytorch's MTCNN, whose weights come inside its wheel. device: a torch device's name."""

    def __init__(self, device: str = "cpu") -> None:
        import torch
        from facenet_pytorch import MTCNN

        self._network: Any = MTCNN(keep_all=True, thresholds=THRESHOLDS, device=torch.device(device)).eval()
        # Channels last in memory runs the three stages up to three times as fast on a CPU; the pooling most of all.
        for stage in (self._network.pnet, self._network.rnet, self._network.onet):
            stage.to(memory_format=torch.channels_last)
            stage.register_forward_pre_hook(_channels_last)

    def __call__(self, pictures: np.ndarray, smallest: float) -> list[Detections]:
        side = min(pictures.shape[1:3])
        if side < NETWORK_FACE:
            return [NOTHING] * len(pictures)
        # The image pyramid must have one level at least.
        self._network.min_face_size = max(NETWORK_FACE, min(float(smallest), side))
        found: list[Detections] = []
        for start in range(0, len(pictures), BATCH_PICTURES):
            found += self._detect(pictures[start : start + BATCH_PICTURES])
        return found

    def _detect(self, batch: np.ndarray) -> list[Detections]:
        import torch

        try:
            boxes, probabilities, landmarks = self._network.detect(batch, landmarks=True)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError):
            # MTCNN trips over batches all of whose candidates lie outside the picture.
            if len(batch) == 1:
                return [NOTHING]
            return [found for row in range(len(batch)) for found in self._detect(batch[row : row + 1])]
        return [_plain(*row) for row in zip(boxes, probabilities, landmarks, strict=True)]


def _channels_last(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    return tuple(x.contiguous(memory_format=torch.channels_last) for x in inputs)


def _plain(boxes: Any, probabilities: Any, landmarks: Any) -> Detections:
    """Object arrays or None to plain arrays, without degenerate boxes."""
    if boxes is None:
        return NOTHING
    found = Detections(
        np.array(boxes.tolist(), np.float32).reshape(-1, 4),
        np.array(landmarks.tolist(), np.float32).reshape(-1, 5, 2),
        np.array(probabilities.tolist(), np.float32).reshape(-1),
    )
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    usable = (sides > 1).all(axis=1) & np.isfinite(found.boxes).all(axis=1)
    return found.take(np.flatnonzero(usable & np.isfinite(found.landmarks).all(axis=(1, 2))))
