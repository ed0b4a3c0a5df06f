"""Shot cuts, found picture by picture."""

from __future__ import annotations

import numpy as np

WIDTH = 160
"""Pictures are compared at this width; more pixels find no other cuts."""

THRESHOLD = 27.0
"""Mean change of hue, saturation and value (0..255 each) from picture to picture that makes a cut."""


class CutFinder:
    """Feeds a stream of small pictures to PySceneDetect."""

    def __init__(self) -> None:
        from scenedetect.detectors import ContentDetector

        # No shortest shot: a face must not be followed over any cut, and flashes heal by recognition.
        self._detector = ContentDetector(threshold=THRESHOLD, min_scene_len=0)

    def __call__(self, previews: np.ndarray, first: int) -> list[int]:
        """Grid numbers of the pictures that begin a new shot.

        previews: (n, height, width, 3) uint8 RGB, that follow on those of the call before; first: grid number of
        the first of them.
        """
        import cv2

        cuts: list[int] = []
        for number, preview in enumerate(previews, first):
            height = max(1, round(preview.shape[0] * WIDTH / preview.shape[1]))
            small = cv2.resize(preview, (WIDTH, height), interpolation=cv2.INTER_AREA)
            cuts += self._detector.process_frame(number, small[..., ::-1])
        return cuts
