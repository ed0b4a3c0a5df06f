"""Long signals in overlapping segments, joined by cross-fades with every source keeping its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft
from scipy.optimize import linear_sum_assignment

SILENT = 10 ** (-30 / 20)
"""Of the loudest source's level: what is below in a stretch is silent there, its rest the faults of the model."""

LIKENESS_WEIGHT = 0.1
SPECTRUM_WINDOW = 512


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


def source_order(before: np.ndarray, after: np.ndarray, likeness: np.ndarray | None = None) -> np.ndarray:
    """Which source of `after` goes on with each source of `before`, by correlation over the stretch they share:
    (sources, ..., time) each, of one shape -> (sources,) indices.

    likeness: (sources before, sources after), 0 to 1, of what the sources are like beyond that stretch; it pairs those
    that are silent in it, of which a correlation tells nothing.
    """
    before, after = (x.reshape(len(x), math.prod(x.shape[1:])) for x in (before, after))
    norms = np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1)
    alike = (before @ after.T) / (norms[0][:, None] * norms[1][None] + 1e-9)
    if likeness is not None:
        silent = [norm <= SILENT * np.max(norm, initial=0) for norm in norms]
        alike[silent[0]] = alike[:, silent[1]] = 0
        both = silent[0][:, None] & silent[1][None]
        # Less than any correlation counts: it decides between those that are left.
        alike[both] = LIKENESS_WEIGHT * likeness[both]
    return linear_sum_assignment(-alike)[1]


def stitch(pieces: Iterable[tuple[int, np.ndarray]], reorder: bool) -> Iterator[np.ndarray]:
    """Join the estimates of `segments`, in order: (start, (sources, channels, time)) each -> consecutive (sources,
    channels, n) without a seam.

    reorder: sources may come in another order in each piece, and in other numbers: one that a piece lacks is silent in
    it, one more begins as a new source. What comes out never has fewer sources than before. A source goes on where the
    correlation over the shared stretch says so; one that is silent there, where the spectrum is like its own so far.
    """
    held: np.ndarray | None = None
    held_start = 0
    spectra = np.zeros((0, SPECTRUM_WINDOW // 2 + 1))
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
            spectra = _with_sources(spectra, count) + power_spectra(held[..., :alone])
            likeness = cosines(spectra + power_spectra(tail), power_spectra(piece))
            piece = piece[source_order(tail, piece[..., :shared], likeness)]
        rise = np.sin(np.linspace(0, np.pi / 2, shared, dtype=np.float32)) ** 2
        yield held[..., :alone]
        held = np.concatenate([tail * (1 - rise) + piece[..., :shared] * rise, piece[..., shared:]], axis=-1)
        held_start = start
    if held is not None:
        yield held


def power_spectra(estimates: np.ndarray) -> np.ndarray:
    """The energy in each frequency bin: (sources, channels, time) -> (sources, bins)."""
    spectra = np.zeros((len(estimates), SPECTRUM_WINDOW // 2 + 1))
    window = np.hanning(SPECTRUM_WINDOW).astype(np.float32)
    # Source by source: the frames of all at once would take several times the memory of the estimates.
    for total, source in zip(spectra, estimates, strict=True):
        padded = np.pad(source, ((0, 0), (0, -source.shape[-1] % SPECTRUM_WINDOW)))
        frames = padded.reshape(len(source), -1, SPECTRUM_WINDOW) * window
        total += np.square(np.abs(scipy.fft.rfft(frames))).sum(axis=(0, 1))
    return spectra


def cosines(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Cosine of the angle between spectra, of amplitudes so that a few loud bins are not all: (sources, bins) each ->
    (sources, sources). What is silent is like nothing."""
    before, after = np.sqrt(before), np.sqrt(after)
    norm = np.linalg.norm(before, axis=1)[:, None] * np.linalg.norm(after, axis=1)[None]
    return (before @ after.T) / (norm + 1e-9)


def _with_sources(values: np.ndarray, count: int) -> np.ndarray:
    """With silent sources, zeros, added up to a number."""
    missing = count - len(values)
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)]) if missing else values
