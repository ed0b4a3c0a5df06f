"""Who is who: tracks of one face, before and after cuts and absences, become one person."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from avsep.embeddings.face import SAME_PERSON, FaceEmbedder
from avsep.signals import FRAME_RATE, FaceTrack, Person

SHORTEST_SECONDS = 0.4
"""Persons never on screen for so long are mostly not faces, and too short to tell a voice by."""

SHORT_CLIP_SECONDS = 1.0
"""In clips not longer than this everybody counts."""

RETURN_SECONDS = 2.0
"""A face that comes back to its place within this time, in one shot, is likely the same one ..."""

NEAR = 0.5
"""... if its centre is off by at most this share of its size, ..."""

RESIZE = 1.4
"""... its size changed by no more than this factor, ..."""

RETURN_BONUS = 0.25
"""... so that it needs this much less likeness."""

BY_PLACE_ONLY = (
    "recognised by place only (re-identification is off): the same person may count as another one "
    "after a cut or an absence"
)


def identify(tracks: Sequence[FaceTrack], embedder: FaceEmbedder | None, cuts: Sequence[int] = ()) -> list[Person]:
    """Group tracks into persons, most seen first (to the second), then left to right.

    Average-link clustering of the cosine between the tracks' mean embeddings; tracks that overlap in time never join.
    Without an embedder only tracks of one shot that continue each other at the same place join, and every person
    carries a warning. cuts: grid numbers that begin a new shot. Persons hardly on screen are left out.
    """
    tracks = sorted(tracks, key=lambda t: (t.first, float(t.boxes[0, 0])))
    if not tracks:
        return []
    threshold = SAME_PERSON if embedder is None else embedder.same_person
    groups = _cluster(_likeness(tracks, embedder, sorted(cuts)), threshold)
    warnings = () if embedder is not None or len(tracks) == 1 else (BY_PLACE_ONLY,)
    persons = [Person(tuple(tracks[row] for row in sorted(group)), warnings) for group in groups]
    span = max(t.end_seconds for t in tracks) - min(t.start_seconds for t in tracks)
    if span > SHORT_CLIP_SECONDS:
        persons = [p for p in persons if max(map(len, p.tracks)) >= SHORTEST_SECONDS * FRAME_RATE]
    return sorted(persons, key=lambda p: (-round(_seconds(p)), p.box[0], p.box[1], p.tracks[0].first))


def _seconds(person: Person) -> float:
    return sum(len(track) for track in person.tracks) / FRAME_RATE


def _likeness(tracks: Sequence[FaceTrack], embedder: FaceEmbedder | None, cuts: list[int]) -> np.ndarray:
    """(n, n) float64: how alike two tracks are; minus infinity for pairs that must not join."""
    if embedder is None:
        alike = np.full((len(tracks), len(tracks)), -1.0)
        bonus = 2.0  # place alone decides
    else:
        vectors = np.stack([_mean_embedding(track, embedder) for track in tracks])
        alike = (vectors @ vectors.T).astype(np.float64)
        bonus = RETURN_BONUS
    starts = np.array([t.first for t in tracks])
    stops = starts + np.array([len(t) for t in tracks])
    for row, column in zip(*np.nonzero(_may_continue(starts, stops)), strict=True):
        same_shot = bisect_right(cuts, int(stops[row]) - 1) == bisect_right(cuts, int(starts[column]))
        if same_shot and _same_place(tracks[row].boxes[-1], tracks[column].boxes[0]):
            alike[row, column] += bonus
            alike[column, row] += bonus
    overlap = (starts[:, None] < stops[None]) & (starts[None] < stops[:, None])
    alike[overlap] = -np.inf
    return alike


def _may_continue(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """(n, n) bool: whether the second begins soon after the first ended."""
    pause = starts[None] - stops[:, None]
    return (pause >= 0) & (pause <= RETURN_SECONDS * FRAME_RATE)


def _same_place(last: np.ndarray, first: np.ndarray) -> bool:
    """Whether two boxes (4,) are about the same."""
    sizes = [float(np.sqrt(max((box[2] - box[0]) * (box[3] - box[1]), 1.0))) for box in (last, first)]
    centres = [(box[:2] + box[2:]) / 2 for box in (last, first)]
    off = float(np.linalg.norm(centres[0] - centres[1])) / max(sizes)
    return off <= NEAR and max(sizes) / min(sizes) <= RESIZE


def _mean_embedding(track: FaceTrack, embedder: FaceEmbedder) -> np.ndarray:
    mean = embedder(track.portraits).sum(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-9)


def _cluster(alike: np.ndarray, threshold: float) -> list[list[int]]:
    """Join the two most alike groups, by the mean over their pairs, until none reach the threshold."""
    groups = [[row] for row in range(len(alike))]
    alike = alike.copy()
    np.fill_diagonal(alike, -np.inf)
    while True:
        # The first of equals is the earliest, so the result does not depend on chance.
        a, b = sorted(int(v) for v in np.unravel_index(int(alike.argmax()), alike.shape))
        if not alike[a, b] >= threshold:
            return [group for group in groups if group]
        share = len(groups[a]) / (len(groups[a]) + len(groups[b]))
        alike[a] = alike[:, a] = share * alike[a] + (1 - share) * alike[b]
        alike[b] = alike[:, b] = alike[a, a] = -np.inf
        groups[a], groups[b] = groups[a] + groups[b], []
