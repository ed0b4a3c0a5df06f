"""Which estimate belongs to which reference: by the best permutation, by name, or by the place of the face."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsep.errors import UsageError
from avsep.evaluation.trial import Trial

Match = Literal["best", "name", "face"]

FARTHEST = 0.25
"""An estimate belongs to the face of a reference if it is at most this far from it, as a share of the width."""


def match_estimates(trial: Trial, scores: np.ndarray, loud: np.ndarray, by: Match) -> list[int | None]:
    """For each reference the number of its estimate, or None.

    scores: (references, estimates + 1), SI-SDR in dB of each pair, the last column that of the mixture itself. loud:
    (references,) which of them sound; the others get what is left over where `by` is "best". Raises UsageError where
    names or places fit nowhere.
    """
    if by == "name":
        return _by_name(trial)
    if by == "face":
        return _by_face(trial)
    return _best(scores, loud, np.square(trial.estimates).mean(axis=(1, 2)))


def _best(scores: np.ndarray, loud: np.ndarray, power: np.ndarray) -> list[int | None]:
    """The permutation of the highest mean SI-SDR (Kolbaek et al., 2017). Where estimates are too few, the mixture
    stands in for those that are missing; silent references get the quietest of the estimates that are left."""
    estimates = scores.shape[1] - 1
    order: list[int | None] = [None] * len(scores)
    voices = np.flatnonzero(loud)
    stand_ins = max(0, len(voices) - estimates)
    if len(voices):
        table = np.concatenate([scores[voices, :-1], np.repeat(scores[voices, -1:], stand_ins, axis=1)], axis=1)
        for row, column in zip(*linear_sum_assignment(-table), strict=True):
            order[voices[row]] = int(column) if column < estimates else None
    left = sorted((i for i in range(estimates) if i not in order), key=lambda i: power[i])
    for reference, estimate in zip(np.flatnonzero(~loud), left, strict=False):
        order[reference] = estimate
    return order


def _by_name(trial: Trial) -> list[int | None]:
    known = {name: i for i, name in enumerate(trial.estimate_names)}
    order = [known.get(name) for name in trial.reference_names]
    if trial.estimate_names and all(i is None for i in order):
        raise UsageError(
            f"{trial.id}: no estimate is named like a reference: estimates {', '.join(trial.estimate_names)}; "
            f"references {', '.join(trial.reference_names)}. Rename them, or use --match best"
        )
    return order


def _by_face(trial: Trial) -> list[int | None]:
    if not trial.reference_places or None in trial.reference_places:
        raise UsageError(
            f"{trial.id}: where the references' faces are is not known. --match face takes references named left, "
            "center or right, or a manifest.json with boxes beside them; or use --match best or name"
        )
    order: list[int | None] = [None] * len(trial.reference_names)
    seen = [i for i, place in enumerate(trial.estimate_places) if place is not None]
    if not seen:
        return order
    here = np.array(trial.reference_places, float)
    there = np.array([trial.estimate_places[i] for i in seen], float)
    distance = np.abs(here[:, None] - there[None])
    for row, column in zip(*linear_sum_assignment(np.where(distance <= FARTHEST, distance, 1e3)), strict=True):
        if distance[row, column] <= FARTHEST:
            order[row] = seen[column]
    return order
