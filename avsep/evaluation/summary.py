"""From rows to a table: mean with a confidence interval, median and count of each figure, silent references apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from avsep.evaluation.figures import FIGURES
from avsep.evaluation.pairs import labels_right, pairs
from avsep.evaluation.score import ESTIMATE, Row

RESAMPLES = 2000
"""Draws of the bootstrap: the ends of a 95 % interval stand to about a twentieth of its width."""
LEVEL = 0.95


@dataclass(frozen=True)
class Statistics:
    """Of one figure over sources. ci95: ends of the interval of the mean, None for a single mixture."""

    mean: float
    median: float
    standard_deviation: float
    ci95: tuple[float, float] | None
    n: int


def bootstrap(values: Sequence[float] | np.ndarray, groups: Sequence[str], seed: int = 0) -> tuple[float, float] | None:
    """The 95 % percentile interval (Efron, 1979) of the mean of `values`, where whole `groups` (mixtures) are drawn
    with replacement, as the sources of one mixture stand and fall together. None for fewer than two groups."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(index, weights=np.asarray(values, float))
    counts = np.bincount(index)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def statistics(rows: Sequence[Row], column: str, seed: int = 0) -> Statistics | None:
    """Of the rows that have a number in the column; None where none has."""
    pairs = [(value, row.mixture) for row in rows if math.isfinite(value := row.figures.get(column, math.nan))]
    if not pairs:
        return None
    values = np.array([value for value, _ in pairs])
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    interval = bootstrap(values, [mixture for _, mixture in pairs], seed)
    return Statistics(float(values.mean()), float(np.median(values)), spread, interval, len(values))


def summarise(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """Plain types, ready for JSON: counts of the estimates' rows, and for each system its figures.

    Means are over sources, those of silent references left out (they have no figure but the attenuation); a source
    without an estimate counts with the mixture in its place. `own`: share of sources whose estimate is closest to
    their own reference; where it is missing, it is not. `labels_right` and `pairs`: see avsep.evaluation.pairs.
    """
    estimates = [row for row in rows if row.system == ESTIMATE]
    owned = [row.own for row in estimates if row.own is not None]
    return {
        "mixtures": len({row.mixture for row in rows}),
        "sources": len(estimates),
        "separated": sum(row.status == "separated" for row in estimates),
        "missing": sum(row.status == "missing" for row in estimates),
        "silent_references": sum(row.status == "silent" for row in estimates),
        "own": sum(owned) / len(owned) if owned else None,
        "labels_right": labels_right(rows),
        "pairs": [pair._asdict() for pair in pairs(rows)],
        "seconds": sum({row.mixture: row.seconds for row in rows}.values()),
        "systems": {
            system: {
                column: asdict(found)
                for column in FIGURES
                if (found := statistics([row for row in rows if row.system == system], column, seed))
            }
            for system in dict.fromkeys(row.system for row in rows)
        },
    }
