"""Long signals in overlapping segments, joined by cross-fades with every source keeping its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsep.signals import HOP, SAMPLE_RATE

SEGMENT = 10 * SAMPLE_RATE
"""Samples a model hears at once: a few times its receptive field."""
OVERLAP = 2 * SAMPLE_RATE
"""Samples two segments share: long enough to hear who is who."""


def segments(total: int, length: int = SEGMENT, overlap: int = OVERLAP) -> list[tuple[int, int]]:
    """(start, stop) of segments that cover `total` samples, each sharing `overlap` with the next; starts lie on the
    picture grid.

    A rest that would be shorter than the overlap is left to the segment before it.
    """
    if overlap >= length or (length - overlap) % HOP:
        raise ValueError(f"overlap {overlap} must be below length {length}, and their difference a multiple of {HOP}")
    spans, start = [], 0
    while start + length + overlap < total:
        spans.append((start, start + length))
        start += length - overlap
    spans.append((start, total))
    return spans


def source_order(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which source of `after` goes on with each source of `before`, by correlation over the stretch they share:
    (sources, time) each -> (sources,) indices."""
    norm = np.linalg.norm(before, axis=1)[:, None] * np.linalg.norm(after, axis=1)[None] + 1e-9
    return linear_sum_assignment(-(before @ after.T) / norm)[1]


def stitch(pieces: Iterable[tuple[int, np.ndarray]], reorder: bool) -> Iterator[np.ndarray]:
    """Join the estimates of `segments`, in order: (start, (sources, time)) each -> consecutive (sources, n) without
    a seam.

    reorder: sources may come in another order in each piece (a model without conditioning).
    """
    held: np.ndarray | None = None
    held_start = 0
    for start, piece in pieces:
        if held is None:
            held, held_start = piece, start
            continue
        shared = held_start + held.shape[1] - start
        tail = held[:, -shared:]
        if reorder:
            piece = piece[source_order(tail, piece[:, :shared])]
        rise = np.sin(np.linspace(0, np.pi / 2, shared, dtype=np.float32)) ** 2
        yield held[:, :-shared]
        held = np.concatenate([tail * (1 - rise) + piece[:, :shared] * rise, piece[:, shared:]], axis=1)
        held_start = start
    if held is not None:
        yield held
