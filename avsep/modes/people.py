"""What the modes with faces share: the scene's lips, and a track for each person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avsep.matching.lips import LipMatcher
from avsep.signals import FRAME_RATE, Person, Track

if TYPE_CHECKING:
    from avsep.modes.base import Scene

SYNCHRONY_MODEL = "sync"
VISIBILITY_MODEL = "mouth"


def lip_matcher(scene: Scene) -> LipMatcher:
    models, options = scene.models, scene.options
    synchrony, visibility = models.synchrony(SYNCHRONY_MODEL), models.visibility(VISIBILITY_MODEL)
    return LipMatcher(
        synchrony, visibility, scene.people, models.device, options.av_offset, scene.progress, scene.watch
    )


def person_tracks(
    people: Sequence[Person], speech: np.ndarray, confidence: np.ndarray, offsets: np.ndarray
) -> list[Track]:
    """Tracks of people, and after them of voices without a face: speech (tracks, pictures), confidence (tracks,) or
    NaN, offsets (people,) in pictures."""
    tracks = []
    for number in range(len(speech)):
        person = people[number] if number < len(people) else None
        sure = float(confidence[number])
        tracks.append(
            Track(
                f"speaker_{number:02d}",
                "person" if person else "voice",
                person,
                speech=speech[number],
                confidence=None if np.isnan(sure) else sure,
                offset_seconds=float(offsets[number]) / FRAME_RATE if person else None,
            )
        )
    return tracks
