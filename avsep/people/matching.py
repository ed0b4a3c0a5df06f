"""Who of the people that are known the tracks of one clip are: face and voice together, as a probability.

Log-likelihood ratios of one person against two, fitted to talkers who are in no figure of docs/people.md, are added for
face and voice. Before anything is compared, a track is somebody who is known with
probability KNOWN, and everybody who is known is as likely as the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsep.embeddings.speaker import alike, evidence
from avsep.people.traits import Traits

FACE_ZERO, FACE_SLOPE = 0.424, 27.0
"""Cosine of two faces that speaks for neither, and log-likelihood ratio for each unit above it: of two normal
distributions, that of other people's faces with the mean 0.147 and the deviation 0.143 of 18 talkers of GRID, that of
one person's with the mean 0.70, at which FaceNet has the accuracy of 0.99 that is published for it."""

MOST_FACE, MOST_VOICE = 7.0, 7.0
"""Bounds of a log-likelihood ratio: there were not more talkers to tell it by."""

KNOWN = 0.5

NAMED = 0.95
"""Probability from which on a track gets a name. In a library of ten this takes voices an evidence of 5.2, which 0.0001
to 0.002 of the pairs of two training speakers have (cross-fitted; 3 to 12 s against 6 to 30 s, the most with 30 s)."""

NEW = 0.5
"""Probability of a stranger from which on a track is somebody new."""


@dataclass(frozen=True)
class Likeness:
    """How alike two people's faces and voices are, -1..1 (of faces the cosine, of voices `alike`), None where there is
    none of both, and what they say together: the log-likelihood ratio of one person against two."""

    face: float | None
    voice: float | None
    evidence: float

    @property
    def by(self) -> tuple[str, ...]:
        return tuple(name for name in ("face", "voice") if getattr(self, name) is not None)


@dataclass(frozen=True)
class Match:
    """Who a track may be. who: number of the person it is named after, None where nobody is likely enough.
    probabilities: of each person. stranger: that it is nobody who is known. likeness: to each, None where nothing can
    be compared."""

    who: int | None
    probabilities: tuple[float, ...]
    stranger: float
    likeness: tuple[Likeness | None, ...]

    @property
    def order(self) -> list[int]:
        """The people who may be meant, the most likely first."""
        return sorted(
            (n for n, one in enumerate(self.likeness) if one is not None), key=lambda n: -self.probabilities[n]
        )


def likeness(one: Traits, other: Traits) -> Likeness | None:
    """How alike two people are; None where one has only a face and the other only a voice."""
    face = voice = None
    together = 0.0
    if one.face is not None and other.face is not None:
        face = float(one.face @ other.face)
        together += _bounded(FACE_SLOPE * (face - FACE_ZERO), MOST_FACE)
    if one.voice is not None and other.voice is not None:
        voice = float(alike(one.voice, other.voice))
        together += _bounded(float(evidence(one.voice, other.voice)), MOST_VOICE)
    return None if face is None and voice is None else Likeness(face, voice, together)


def _bounded(value: float, most: float) -> float:
    return max(-most, min(most, value))


def match(tracks: Sequence[Traits], people: Sequence[Traits]) -> list[Match]:
    """Who each of the tracks is: nobody is two tracks, and no track two people."""
    found = [[likeness(track, person) for person in people] for track in tracks]
    told = np.array([[-np.inf if one is None else one.evidence for one in row] for row in found])
    odds = np.exp(told.reshape(len(tracks), len(people))) * KNOWN / (1 - KNOWN) / max(1, len(people))
    # A track may be another person, and a person another track: what both leave is a lower bound of the probability.
    rivals = odds.sum(axis=0, keepdims=True) + odds.sum(axis=1, keepdims=True) - odds
    probability = odds / (1 + rivals)
    # Two tracks may be one person whom the faces did not join: a rival for the name makes no stranger.
    stranger = 1 / (1 + odds.sum(axis=1))
    rows, columns = linear_sum_assignment(-probability)
    named = {
        int(row): int(column) for row, column in zip(rows, columns, strict=True) if probability[row, column] >= NAMED
    }
    return [
        Match(named.get(n), tuple(map(float, probability[n])), float(stranger[n]), tuple(found[n]))
        for n in range(len(tracks))
    ]
