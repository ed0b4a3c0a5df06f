"""Tiny videos with a stand-in for a face, and a detector that knows where it is: corpora made in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from media_factory import tone, write_media

from avsep.faces.detect import Detections

SIZE = (160, 120)
PICTURES = 10
LANDMARKS = np.array([[-12, -14], [12, -14], [0, 0], [-9, 13], [9, 13]], np.float32)
CORNERS = np.array([-20, -26, 20, 26], np.float32)


@dataclass(frozen=True)
class FaceAt:
    """Finds a face at the same places, shares of the picture, in every picture. Pickles, for worker processes."""

    places: Sequence[tuple[float, float]] = ((0.5, 0.5),)

    def __call__(self, pictures: np.ndarray, smallest: float) -> list[Detections]:
        centres = np.array(self.places, np.float32) * [pictures.shape[2], pictures.shape[1]]
        boxes = (CORNERS.reshape(2, 2) + centres[:, None]).reshape(-1, 4).astype(np.float32)
        landmarks = (LANDMARKS + centres[:, None]).astype(np.float32)
        return [Detections(boxes, landmarks, np.full(len(centres), 0.99, np.float32))] * len(pictures)


def shade(number: int, width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 with texture, darker on the left than on the right."""
    rows, columns = np.mgrid[:height, :width]
    gray = 40 + 150 * columns / width + 30 * np.sin(rows / 3) * np.sin(columns / 4)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def write_video(path: Path, *, frequency: float = 440.0, silent: bool = False) -> Path:
    """0.4 s of pictures with a tone, or without any sound stream."""
    path.parent.mkdir(parents=True, exist_ok=True)
    codecs = {"video_codec": "mpeg1video", "sound_codec": "mp2"} if path.suffix == ".mpg" else {}
    sound = None if silent else tone(PICTURES / 25, frequency=frequency)
    times = [k / 25 for k in range(PICTURES)]
    return write_media(path, times=times, size=SIZE, draw=shade, sound=sound, **codecs)  # type: ignore[arg-type]


def write_sound(path: Path, frequency: float = 880.0) -> Path:
    """The same length of sound alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_media(path, sound=tone(PICTURES / 25, frequency=frequency), format="mp4")
