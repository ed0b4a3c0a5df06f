"""faces.json: where each face is over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_pipeline import person

from avsep.errors import InputError
from avsep.output.faces import FACES, face_rows, write_faces
from avsep.results.faces import read_faces
from avsep.signals import FRAME_RATE, Person


def moving(boxes: np.ndarray, first: int = 0):
    """Somebody whose face is there; boxes: (pictures, 4)."""
    track = person(boxes[0], seconds=len(boxes) / FRAME_RATE).tracks[0]
    return replace(track, first=first, boxes=boxes.astype(np.float32))


def between(rows, seconds: np.ndarray) -> np.ndarray:
    table = np.array(rows)
    return np.stack([np.interp(seconds, table[:, 0], table[:, n]) for n in range(1, 5)], axis=1)


def test_rows_tell_where_a_moving_face_is():
    pictures = np.arange(20 * FRAME_RATE)
    x = 300 + 200 * np.sin(2 * np.pi * pictures / (4 * FRAME_RATE)) * (pictures > 5 * FRAME_RATE)
    boxes = np.stack([x, x * 0 + 50, x + 100, x * 0 + 190], axis=1)
    rows = face_rows(Person((moving(boxes, first=50),)))
    seconds = (50 + pictures) / FRAME_RATE
    moves = pictures > 5.2 * FRAME_RATE
    assert np.abs(between(rows, seconds) - boxes)[moves].max() < 0.12 * 140
    assert np.abs(between(rows, seconds) - boxes)[pictures < 4.8 * FRAME_RATE].max() == 0
    assert (rows[0][0], rows[-1][0]) == (2.0, round(float(seconds[-1]), 2))
    assert len([row for row in rows if row[0] < 7]) <= 3, "a face that keeps still needs no rows"
    assert len(rows) <= 5 * 20


def test_a_face_that_comes_again_and_one_of_a_single_picture():
    still = np.tile(np.array([1.0, 2.0, 3.0, 4.0]), (1, 1))
    rows = face_rows(Person((moving(still), moving(still + 10, first=100))))
    assert rows == [[0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 11.0, 12.0, 13.0, 14.0]]


def test_rows_are_read_as_they_were_written(tmp_path):
    assert read_faces(tmp_path) == {}
    rows = {"speaker_00": [[0.0, 1.0, 2.0, 3.0, 4.0]], "speaker_01": []}
    write_faces(tmp_path / FACES, rows)
    assert read_faces(tmp_path) == rows


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"people": []}', '{"people": {"a": [[1]]}}', '{"people": {"a": [[0, 1, 2, 3, NaN]]}}']
)
def test_damaged_rows(tmp_path, text):
    (tmp_path / FACES).write_text(text)
    with pytest.raises(InputError, match=r"faces\.json: is damaged"):
        read_faces(tmp_path)
