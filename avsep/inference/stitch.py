"""Long signals in overlapping segments, joined by cross-fades with every source keeping its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from scipy.optimize import linear_sum_assignment


def segments(total: int, length: int, overlap: int) -> list[tuple[int, int]]:
    """(start, stop) of segments that cover `total` samples, each sharing `overlap` with the next.

    A rest that would be shorter than the overlap is left to the segment before it.
    """
    if not 0 <= overlap < length:
        raise ValueError(f"overlap {overlap} must be 0 or more and below length {length}")
    spans, start = [], 0
    while start + length + overlap < total:
        spans.append((start, start + length))
        start += length - overlap
    spans.append((start, total))
    return spans


def source_order(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which source of `after` goes on with each source of `before`, by correlation over the stretch they share:
    (sources, ..., time) each, of one shape -> (sources,) indices."""
    before, after = (x.reshape(len(x), math.prod(x.shape[1:])) for x in (before, after))
    norm = np.linalg.norm(before, axis=1)[:, None] * np.linalg.norm(after, axis=1)[None] + 1e-9
    return linear_sum_assignment(-(before @ after.T) / norm)[1]


def stitch(pieces: Iterable[tuple[int, np.ndarray]], reorder: bool) -> Iterator[np.ndarray]:
    """Join the estimates of `segments`, in order: (start, (sources, channels, time)) each -> consecutive (sources,
    channels, n) without a seam.

    reorder: sources may come in another order in each piece, and in other numbers: one that a piece lacks is silent in
    it, one more begins as a new source. What comes out never has fewer sources than before.
    """
    held: np.ndarray | None = None
    held_start = 0
    for start, piece in pieces:
        if held is None:
            held, held_start = piece, start
            continue
        alone = start - held_start
        shared = held.shape[-1] - alone
        count = max(len(held), len(piece))
        held, piece = _with_sources(held, count), _with_sources(piece, count)
        tail = held[..., alone:]
        if reorder:
            piece = piece[source_order(tail, piece[..., :shared])]
        rise = np.sin(np.linspace(0, np.pi / 2, shared, dtype=np.float32)) ** 2
        yield held[..., :alone]
        held = np.concatenate([tail * (1 - rise) + piece[..., :shared] * rise, piece[..., shared:]], axis=-1)
        held_start = start
    if held is not None:
        yield held


def _with_sources(estimates: np.ndarray, count: int) -> np.ndarray:
    """With silent sources added up to a number."""
    missing = count - len(estimates)
    return np.concatenate([estimates, np.zeros((missing, *estimates.shape[1:]), np.float32)]) if missing else estimates
