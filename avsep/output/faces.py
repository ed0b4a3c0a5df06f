"""faces.json: where the faces of the people are over time. It is there where there are people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from avsep.signals import FRAME_RATE, Person

FACES = "faces.json"
FORMAT = 1
_EVERY = 5
"""Pictures from one box to the next, at FRAME_RATE."""
_STILL = 0.02
"""Part of its size that a face may move without a new box."""

Rows = list[list[float]]
"""Seconds and box (x1, y1, x2, y2 in pixels of the input picture) of a face, in order of time. Between two rows of one
appearance it moves evenly."""


def face_rows(person: Person) -> Rows:
    """The boxes of a person, five a second and fewer while the face keeps still."""
    rows: Rows = []
    for track in person.tracks:
        numbers = [*range(0, len(track) - 1, _EVERY), len(track) - 1]
        kept: list[int] = []
        for before, number in zip([None, *numbers], [*numbers], strict=False):
            box = track.boxes[number]
            last = number == numbers[-1]
            if kept and not last:
                size = float((box[2:] - box[:2]).max())
                if np.abs(box - track.boxes[kept[-1]]).max() <= _STILL * size:
                    continue
            if kept and before is not None and before != kept[-1] and not last:
                kept.append(before)  # it stood still until then
            kept.append(number)
        rows += [[round((track.first + n) / FRAME_RATE, 2), *np.round(track.boxes[n], 1).tolist()] for n in kept]
    return rows


def write_faces(file: Path, people: Mapping[str, Rows]) -> None:
    """people: rows by the id of the track."""
    file.write_text(json.dumps({"format": FORMAT, "people": people}, separators=(",", ":")) + "\n")
