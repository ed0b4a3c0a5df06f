"""Which spans of a track are not to be trusted, and why: thresholds on the measures, one place for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avsep.evaluation.no_reference import leak, swaps
from avsep.evaluation.no_reference.mos import Mos
from avsep.evaluation.no_reference.sound import Overview, spans_of
from avsep.results.result import Doubt, Span
from avsep.signals import FRAME_RATE

EXCHANGE_GAIN = 2.0
"""Evidence from which on two tracks seem to be exchanged: that they are is rarer than that they are not."""

SHARED, ALIKE = 0.3, 0.9
"""Correlation over two seconds from which on a track has another's sound in it, and is nearly the same sound."""

FAR_BELOW_DB = -13.0
"""What another track has so far below this one does this one no harm."""

POOR_OVRL = 1.5
"""DNSMOS, overall, below which speech is of poor quality."""

JOINED_SECONDS = 1.0
"""Doubts of one kind that are nearer to each other are one."""


def possible_swaps(gain: np.ndarray, names: Sequence[str], pictures: int) -> list[list[Doubt]]:
    """Of each track, from `swaps.exchange_gain`: where it is more alike to another one than to itself."""
    found: list[list[Doubt]] = []
    best = np.where(np.isnan(gain), -np.inf, gain)
    for track in range(len(names)):
        doubts: list[Doubt] = []
        for other in range(len(names)):
            pieces = (best[:, track, other] > EXCHANGE_GAIN) & (best[:, track].argmax(axis=1) == other)
            where = np.zeros(pictures, bool)
            for number in np.flatnonzero(pieces):
                where[number * swaps.STEP : number * swaps.STEP + swaps.PIECE] = True
            doubts += _doubts(where, "swap", f"may be the voice of {names[other]}")
        found.append(doubts)
    return found


def shared_sound(overview: Overview, names: Sequence[str]) -> list[list[Doubt]]:
    """Of each track: where it has another one's sound in it."""
    products = leak.in_windows(overview.products, overview.seconds)
    alike, energy = leak.correlation(products), products.diagonal(axis1=1, axis2=2)
    seconds = len(products)
    talks = np.stack([_per_window(spoken, seconds) for spoken in overview.spoken], axis=1)
    found: list[list[Doubt]] = []
    for track in range(len(names)):
        doubts: list[Doubt] = []
        for other in range(len(names)):
            loud = energy[:, other] > energy[:, track] * 10 ** (FAR_BELOW_DB / 10)
            shared = (alike[:, track, other] > SHARED) & loud & (talks[:, track] | talks[:, other])
            same = shared & (alike[:, track, other] > ALIKE)
            leaks = shared & ~same & ~talks[:, track]
            for windows, kind, reason in (
                (same, "alike", f"nearly the same sound as {names[other]}"),
                (leaks, "leak", f"{names[other]} sounds in it while it is silent"),
                (shared & ~same & ~leaks, "shared", f"has the sound of {names[other]} in it"),
            ):
                doubts += _doubts(_pictures(windows, overview.pictures), kind, reason)
        found.append(doubts)
    return found


def poor_quality(scores: Sequence[tuple[Mos, Sequence[Span]]], pictures: int) -> list[Doubt]:
    """Of a track: where DNSMOS is low. scores: of what is spoken in the spans."""
    where = np.zeros(pictures, bool)
    for score, spans in scores:
        for start, end in spans:
            where[round(start * FRAME_RATE) : round(end * FRAME_RATE)] |= score.ovrl < POOR_OVRL
    return _doubts(where, "quality", f"poor quality of speech (DNSMOS below {POOR_OVRL:g})")


def _per_window(spoken: np.ndarray, seconds: int) -> np.ndarray:
    """(pictures,) -> (seconds,): whether somebody speaks in the windows of `leak.in_windows`."""
    padded = np.zeros((seconds + leak.WINDOW) * FRAME_RATE, bool)
    padded[: len(spoken)] = spoken
    each = np.logical_or.reduce(padded.reshape(-1, FRAME_RATE), axis=1)
    return np.logical_or.reduce([each[n : n + seconds] for n in range(leak.WINDOW)])


def _pictures(windows: np.ndarray, pictures: int) -> np.ndarray:
    """(seconds,) bool of windows of `leak.WINDOW` seconds -> (pictures,) bool."""
    where = np.zeros(len(windows) + leak.WINDOW, bool)
    for number in np.flatnonzero(windows):
        where[number : number + leak.WINDOW] = True
    return np.repeat(where, FRAME_RATE)[:pictures]


def _doubts(where: np.ndarray, kind: str, reason: str) -> list[Doubt]:
    """Of pictures with a doubt of one kind: spans, those near each other as one."""
    joined: list[Span] = []
    for span in spans_of(where):
        if joined and span.start - joined[-1].end < JOINED_SECONDS:
            joined[-1] = Span(joined[-1].start, span.end)
        else:
            joined.append(span)
    return [Doubt(start, end, reason, kind) for start, end in joined]
