"""In which pictures a mouth is to be seen. A hidden mouth is no mouth at rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import uniform_filter1d
from scipy.special import expit

from avsep.models.mouth_visibility import MouthVisibility
from avsep.signals import FaceTrack

CHUNK = 500
EVERY = 2
"""Pictures from one that is looked at to the next."""
AROUND = 13
"""Pictures that the log odds are averaged over: what hides a mouth does so for half a second at least."""


@torch.inference_mode()
def mouths_visible(model: MouthVisibility, tracks: Sequence[FaceTrack], device: str) -> list[np.ndarray]:
    """Probability that the mouth is to be seen, (pictures,) float32 of each track."""
    found = []
    for track in tracks:
        odds = []
        for start in range(0, len(track), CHUNK):
            crops = track.lips.crops.read(start, start + CHUNK)[::EVERY]
            odds.append(model(torch.from_numpy(crops).to(device).float() / 255).cpu().numpy())
        every = np.concatenate(odds).repeat(EVERY)[: len(track)] if odds else np.zeros(0)
        found.append(expit(uniform_filter1d(every, AROUND, mode="nearest")).astype(np.float32))
    return found
