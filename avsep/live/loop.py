"""Pieces from a source through a separator into sinks, and how well that keeps up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from avsep.live.separator import LiveSeparator
from avsep.live.sinks import Sink
from avsep.live.source import Source
from avsep.live.stopping import Stopped

BEHIND_SECONDS = 0.1
"""From which on it is told that the separation is behind its input."""
AGAIN_SECONDS = 10.0
"""Of sound, before that is told again."""


@dataclass
class Report:
    """What became of a stream. seconds: of sound that came in; busy: that separating it took; most_behind: by which
    the separation was behind its input at most; signal: that ended it, or 0; cut: what was known then was not taken by
    a reader; unread: every reader went away."""

    seconds: float = 0.0
    busy: float = 0.0
    most_behind: float = 0.0
    signal: int = 0
    cut: bool = False
    unread: bool = False

    @property
    def real_time_factor(self) -> float:
        return self.busy / self.seconds if self.seconds else 0.0


class Pace:
    """How far the separation is behind a live input. While the input has to be waited for nothing has gathered, else
    what took longer than its sound lasts adds up."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.behind = self.most_behind = 0.0
        self._sound = 0.0
        self._told = -AGAIN_SECONDS

    def passed(self, sound: float, taken: float, waited: bool) -> None:
        """Seconds of a piece, those that separating it took, and whether it was waited for. What a slow reader takes is
        none of it."""
        self._sound += sound
        self.behind = max(0.0, (0.0 if waited else self.behind) + taken - sound)
        self.most_behind = max(self.most_behind, self.behind)
        if self.behind > BEHIND_SECONDS and self._sound - self._told >= AGAIN_SECONDS:
            self._told = self._sound
            self.tell(
                f"underrun: after {self._sound:.1f} s the separation is {self.behind:.2f} s behind its input. Sound may"
                " be lost where it is recorded; take a larger --chunk, or end other programs"
            )


def separate_stream(
    source: Source,
    separator: LiveSeparator,
    sinks: Sequence[Sink],
    tell: Callable[[str], None],
    *,
    live: bool,
) -> Report:
    """Run until the input ends, a signal comes, or nobody reads any more; then give what is known, and close the sinks.

    live: the input comes as it is recorded, so that falling behind is told.
    """
    report = Report()
    pace = Pace(tell if live else lambda text: None)
    with ExitStack() as ends:  # closes every sink, also where another one fails to
        for sink in sinks:
            ends.callback(sink.close)
        try:
            for piece in _until_stopped(source, report):
                came = time.perf_counter()
                sources = separator.feed(piece)
                taken = time.perf_counter() - came
                seconds = piece.shape[1] / source.rate
                report.busy, report.seconds = report.busy + taken, report.seconds + seconds
                pace.passed(seconds, taken, source.waited)
                if not _written(sinks, sources):
                    report.unread = True
                    break
            if not report.unread:
                _written(sinks, separator.finish())
        except Stopped as end:
            report.signal, report.cut = end.number, True
    report.most_behind = pace.most_behind if live else 0.0
    return report


def _until_stopped(source: Source, report: Report) -> Iterator[np.ndarray]:
    """The pieces of a source; after a signal, what came in since the last one."""
    pieces = source.pieces()
    while True:
        try:
            piece = next(pieces, None)
        except Stopped as end:
            report.signal = end.number
            yield source.rest()
            return
        if piece is None:
            return
        yield piece


def _written(sinks: Sequence[Sink], sources: np.ndarray) -> bool:
    """Whether anybody still reads."""
    for sink in sinks:
        if not sink.gone:
            sink.write(sources)
    return not all(sink.gone for sink in sinks)
