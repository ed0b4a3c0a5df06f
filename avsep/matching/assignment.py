"""The assigned way: whose voice is each source, decision by decision, so that lips and voices agree best over the
whole clip."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from avsep.matching.lips import UNSEEN
from avsep.matching.synchrony import WINDOW
from avsep.signals import DECISION_FRAMES, FRAME_RATE

SWITCH_COST = 2.0
"""Log odds that a source must gain to change its owner from one decision to the next."""
EXCHANGE_COST = 2.0
"""Log odds for two sources to change places at once: one slip of the separator, not two events."""
SHARED_COST = 6.0
"""Log odds against two active sources at one time being one person's."""
SHORTEST_UNSEEN = 1.0
"""Seconds of speech at a stretch from which somebody who is not to be seen gets a track, while no face is there; ..."""
SHORTEST_BESIDE = 2.0
"""... and while there are faces, none of which can have it, ..."""
LEFT_OVER = 0.15
"""... with at least this part of the energy of all sources: less is what the separation left of the others' voices (of
four people in a panel 0.11)."""
NEW = DECISION_FRAMES / WINDOW
"""Share of a decision's window that the window of the decision before did not hold: what it adds to the evidence."""


@dataclass(frozen=True)
class Ownership:
    """gains: (people + voices, sources, pictures) float32 in 0..1, what of each source is each person's, then each
    voice's that no face can have. owned: (decisions, people, sources) float32, 1 where it is
    the person's."""

    gains: np.ndarray
    owned: np.ndarray


def best_path(scores: np.ndarray, switch_cost: float = SWITCH_COST, exchange_cost: float = EXCHANGE_COST) -> np.ndarray:
    """The best sequence of joint states (Viterbi). It costs `switch_cost` for every source that changes owner from one
    decision to the next, and `exchange_cost` if two sources exchange theirs.

    scores: (decisions, owners, owners, ...), one axis of owners for each source -> (decisions, sources) owner indices.
    The maximum over a change is taken source by source, so the work grows with the states, not with their square.
    """
    decisions, shape = len(scores), scores.shape[1:]
    sources = len(shape)
    pairs = list(itertools.combinations(range(sources), 2))
    value = scores[0].astype(np.float64) if decisions else np.zeros(shape)
    switches, exchanges = [], []
    for decision in range(1, decisions):
        exchanged = [value.swapaxes(*pair) - exchange_cost for pair in pairs]
        origins = []
        for axis in range(sources):
            best = value.max(axis=axis, keepdims=True) - switch_cost
            origins.append(np.where(value >= best, -1, value.argmax(axis=axis, keepdims=True)))
            value = np.maximum(value, best)
        pair_of = np.full(shape, -1)
        for number, other in enumerate(exchanged):
            pair_of = np.where(other > value, number, pair_of)
            value = np.maximum(value, other)
        switches.append(origins)
        exchanges.append(pair_of)
        value = value + scores[decision]
    path = np.zeros((decisions, sources), int)
    if not decisions:
        return path
    state = list(np.unravel_index(value.argmax(), shape))
    path[-1] = state
    for decision in range(decisions - 1, 0, -1):
        number = exchanges[decision - 1][tuple(state)]
        if number >= 0:
            a, b = pairs[number]
            state[a], state[b] = state[b], state[a]
        else:
            for axis in reversed(range(sources)):
                origin = switches[decision - 1][axis][tuple(state)]
                if origin >= 0:
                    state[axis] = origin
        path[decision - 1] = state
    return path


def joint_scores(odds: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """(decisions, people, sources) log odds and (decisions, sources) activity in 0..1 -> (decisions, owners, ...) where
    owner number `people` is nobody.

    Sources that are both active seldom are one person's: that state costs SHARED_COST.
    """
    decisions, people, sources = odds.shape
    own = np.concatenate([odds, np.zeros((decisions, 1, sources))], axis=1) * activity[:, None]
    total = np.zeros((decisions, *([people + 1] * sources)))
    for source in range(sources):
        shape = [decisions] + [1] * sources
        shape[1 + source] = people + 1
        total = total + own[:, :, source].reshape(shape)
    for a in range(sources):
        for b in range(a + 1, sources):
            both = np.minimum(activity[:, a], activity[:, b]) * SHARED_COST
            same = np.zeros([people + 1] * sources)
            index = np.indices(same.shape)
            same[(index[a] == index[b]) & (index[a] < people)] = 1
            total = total - both.reshape([decisions] + [1] * sources) * same
    return total


def assign(odds: np.ndarray, activity: np.ndarray, pictures: int, energy: np.ndarray | None = None) -> Ownership:
    """Who owns what: odds (decisions, people, sources), log odds that the person speaks with the source, NaN where the
    face is not in the picture; activity (decisions, sources) in 0..1; pictures of the clip; energy (decisions, sources)
    -> gains at the pictures' rate."""
    decisions, people, sources = odds.shape
    known = np.where(np.isnan(odds), UNSEEN, odds)
    path = best_path(NEW * joint_scores(known, activity))
    owned = np.stack([path == person for person in range(people)]).astype(np.float32)
    unseen = unseen_voices(path == people, np.isnan(odds).all(axis=(1, 2)), activity, energy)
    tracks = np.concatenate([owned, unseen])
    centres = np.arange(decisions) * DECISION_FRAMES + (DECISION_FRAMES - 1) / 2
    grid = np.arange(pictures)
    # A change of owner is faded from the middle of one decision to the middle of the next.
    gains = np.empty((len(tracks), sources, pictures), np.float32)
    for track in range(len(tracks)):
        for source in range(sources):
            gains[track, source] = np.interp(grid, centres, tracks[track, :, source])
    return Ownership(gains, owned.transpose(1, 0, 2))


def unseen_voices(
    free: np.ndarray, dark: np.ndarray, activity: np.ndarray, energy: np.ndarray | None = None
) -> np.ndarray:
    """Sources that speak and are nobody's whose lips are to be seen, each as a track of its own.

    free: (decisions, sources), nobody's; dark: (decisions,), without faces; activity, energy: (decisions, sources); all
    the same unless given -> (voices, decisions, sources), without stretches in which they speak for less than
    SHORTEST_UNSEEN in the dark (the moments between two shots) and for less than SHORTEST_BESIDE, or with less than
    LEFT_OVER of the energy, in all.
    """
    energy = np.ones(free.shape) if energy is None else energy
    kept = free.copy()
    for source in range(free.shape[1]):
        stretch, count = label(free[:, source])
        spoken = (activity[:, source] > 0.5) * DECISION_FRAMES / FRAME_RATE
        in_all, in_the_dark = (np.bincount(stretch, spoken * part, count + 1) for part in (1.0, dark))
        own, everybodys = (np.bincount(stretch, e, count + 1) for e in (energy[:, source], energy.sum(axis=1)))
        beside = (in_all >= SHORTEST_BESIDE) & (own >= LEFT_OVER * everybodys)
        long = beside | (in_the_dark >= SHORTEST_UNSEEN)
        kept[:, source] &= long[stretch]
    voices = np.flatnonzero(kept.any(axis=0))
    tracks = np.zeros((len(voices), *free.shape), np.float32)
    tracks[np.arange(len(voices)), :, voices] = kept[:, voices].T
    return tracks
