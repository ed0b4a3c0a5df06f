"""Tracks to persons."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from avsep.faces.identify import BY_PLACE_ONLY, identify
from avsep.signals import LIP_SIZE, FaceTrack, LipClip, Person
from avsep.storage.spool import Spool


class ByColour:
    """An embedder for portraits of one colour: 0..255 becomes an angle."""

    same_person = 0.5

    def __call__(self, portraits: np.ndarray) -> np.ndarray:
        angle = portraits.reshape(len(portraits), -1).mean(axis=1) / 255 * np.pi
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def track(first: int, frames: int, colour: int, x: float = 100.0) -> FaceTrack:
    box = np.array([x, 50, x + 60, 130], np.float32)
    return FaceTrack(
        first=first,
        boxes=np.tile(box, (frames, 1)),
        landmarks=np.zeros((frames, 5, 2), np.float32),
        confidence=np.ones(frames, np.float32),
        portraits=np.full((2, 160, 160, 3), colour, np.uint8),
        best=first,
        lips=LipClip(Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8), np.ones(frames, np.float32), first),
    )


def shape(persons: list[Person]) -> list[list[int]]:
    return [[t.first for t in p.tracks] for p in persons]


def test_a_person_is_recognised_across_cuts() -> None:
    tracks = [track(0, 50, 10), track(50, 50, 240, 300), track(100, 50, 12, 400), track(150, 20, 245)]
    assert shape(identify(tracks, ByColour(), [50, 100, 150])) == [[0, 100], [50, 150]]


def test_simultaneous_faces_are_never_one_person() -> None:
    tracks = [track(0, 50, 10, 100), track(0, 50, 10, 300), track(60, 50, 10, 100), track(60, 50, 10, 300)]
    persons = identify(tracks, ByColour())
    assert sorted(map(len, shape(persons))) == [2, 2]
    for person in persons:
        assert all(a.first + len(a) <= b.first for a, b in pairwise(person.tracks))


@pytest.mark.parametrize("seed", range(5))
def test_no_overlaps_and_no_losses_whatever_comes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    tracks = [
        track(int(generator.integers(0, 400)), int(generator.integers(10, 90)), int(generator.integers(0, 255)))
        for _ in range(25)
    ]
    persons = identify(tracks, ByColour())
    assert sorted(t.first for p in persons for t in p.tracks) == sorted(t.first for t in tracks)
    for person in persons:
        for a, b in combinations(person.tracks, 2):
            assert a.first + len(a) <= b.first
    shuffled = [tracks[k] for k in generator.permutation(25)]
    assert shape(identify(shuffled, ByColour())) == shape(persons)


def test_most_seen_first_then_left_to_right() -> None:
    tracks = [track(0, 50, 10, 500), track(0, 100, 100, 300), track(0, 51, 200, 50)]
    assert [p.box[0] for p in identify(tracks, ByColour())] == [300, 50, 500]


def test_a_return_to_the_same_place_needs_less_likeness() -> None:
    pair = [track(0, 50, 10), track(60, 50, 110)]  # a cosine of 0.33
    assert len(identify(pair, ByColour())) == 1
    assert len(identify(pair, ByColour(), cuts=[55])) == 2
    assert len(identify([track(0, 50, 10), track(60, 50, 110, 200)], ByColour())) == 2


def test_without_recognition_only_the_place_within_a_shot_counts() -> None:
    tracks = [track(0, 50, 10), track(60, 50, 10), track(110, 50, 10), track(170, 50, 10, 300)]
    persons = identify(tracks, None, cuts=[110])
    assert sorted(shape(persons)) == [[0, 60], [110], [170]]
    assert all(p.warnings == (BY_PLACE_ONLY,) for p in persons)


def test_glimpses_are_dropped_except_in_short_clips() -> None:
    assert shape(identify([track(0, 50, 10), track(0, 9, 200, 300), track(30, 9, 200, 300)], ByColour())) == [[0]]
    assert shape(identify([track(0, 9, 200)], ByColour())) == [[0]]
    assert identify([], ByColour()) == []
