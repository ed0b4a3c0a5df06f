"""Classes of sources: which pairs are hard to separate, and how often a track bears the label of its source."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from avsep.evaluation.score import ESTIMATE, Row


class Pair(NamedTuple):
    """SI-SDRi in dB of the sources of one class beside a source of another, the mean over n of them."""

    label: str
    beside: str
    si_sdri: float
    n: int


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Of the estimates of sources with a class, in order of the classes; of three sources each counts beside both
    others. Silent references count nowhere."""
    mixtures: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.system == ESTIMATE and row.label and math.isfinite(row.figures.get("si_sdri", math.nan)):
            mixtures[row.mixture].append(row)
    gained: dict[tuple[str, str], list[float]] = defaultdict(list)
    for together in mixtures.values():
        for row in together:
            for beside in {other.label for other in together if other is not row}:
                gained[row.label, beside].append(row.figures["si_sdri"])
    return [Pair(*key, float(np.mean(values)), len(values)) for key, values in sorted(gained.items())]


def labels_right(rows: Sequence[Row]) -> float | None:
    """Share of the sources with a class whose estimate has a label and it is that class; None where no estimate has
    one. A missing estimate has none."""
    known = [row for row in rows if row.system == ESTIMATE and row.label and row.status != "silent"]
    if not any(row.estimate_label for row in known):
        return None
    return sum(row.estimate_label == row.label for row in known) / len(known)
