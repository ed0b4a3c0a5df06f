"""The face in a single picture, for finding its owner in a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avsep.errors import InputError
from avsep.faces.detect import Detector, MtcnnDetector
from avsep.faces.track import portrait

LARGEST_SIDE = 1280
"""Pixels to which a larger picture is scaled down before its face is looked for."""

MOST_PIXELS = 100_000_000
"""Of a picture that is decoded."""

SMALLEST_FACE = 40.0
"""Height in pixels of the smallest face that is looked for in a picture."""


def portrait_in(file: str | Path, device: str = "cpu", detector: Detector | None = None) -> np.ndarray:
    """The one face in a picture as (160, 160, 3) uint8 RGB.

    Raises InputError where the file is missing or no picture, and where it shows no face or several.
    """
    picture = _read(Path(file))
    found = (detector or MtcnnDetector(device))(picture[None], SMALLEST_FACE)[0]
    if not len(found):
        raise InputError(
            f"{file}: shows no face. Give a picture of the face from the front, {SMALLEST_FACE:g} pixels high or more"
        )
    if len(found) > 1:
        raise InputError(f"{file}: shows {len(found)} faces. Cut out the one that is meant")
    return portrait(picture, found.boxes[0].reshape(2, 2))


def _read(file: Path) -> np.ndarray:
    """(height, width, 3) uint8 RGB, upright."""
    import cv2
    from PIL import Image

    if not file.is_file():
        what = "is a folder" if file.is_dir() else "no such file"
        raise InputError(f"{file}: {what}. Give a picture, such as a JPEG or PNG file")
    try:
        with Image.open(file) as head:
            is_vast = head.width * head.height > MOST_PIXELS
    except Image.DecompressionBombError:
        is_vast = True
    except (OSError, ValueError, SyntaxError):
        is_vast = False  # of a kind that the decoder below may know
    if is_vast:
        raise InputError(f"{file}: has more than {MOST_PIXELS // 10**6} million pixels. Scale it down")
    try:
        picture = cv2.imdecode(np.frombuffer(file.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(f"{file}: is no picture that can be read. Give a JPEG or PNG file")
    scale = LARGEST_SIDE / max(picture.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
