"""One progress bar over many clips."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from avsep.cli.terminal import Terminal
from avsep.safe_text import safe_line

if TYPE_CHECKING:
    from avsep.signals import ProgressHook


class Overall:
    """How many of the clips are done, what is worked at, and the time left by what their seconds took so far. Nothing
    where nobody watches.

    bar: a rich Progress without a task, or None. what: is said between the clips.
    """

    def __init__(
        self, terminal: Terminal, bar: Any = None, clips: int = 0, seconds: float = 0.0, what: str = ""
    ) -> None:
        self._terminal, self._bar, self._clips, self._what, self._done = terminal, bar, clips, what, 0
        if bar is not None:
            self._task = bar.add_task(what, total=seconds, clips=self._count())

    @contextmanager
    def clip(self, name: str) -> Iterator[ProgressHook]:
        """A progress hook for a clip that is separated in this process."""
        if self._bar is None:
            with self._terminal.progress(name) as hook:
                yield hook
        else:
            self._bar.update(self._task, description=safe_line(name))
            yield lambda step, completed, total: self._step(name, step, completed / total if total else 1.0)

    def done(self, seconds: float) -> None:
        """A clip of so many seconds is done with, however it went."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=seconds, clips=self._count(), description=self._what)

    def _step(self, name: str, step: str, share: float) -> None:
        self._bar.update(self._task, description=f"{safe_line(name)}: {step} {min(share, 1.0):.0%}")

    def _count(self) -> str:
        return f"{self._done}/{self._clips} clips"


@contextmanager
def overall(terminal: Terminal, clips: int, seconds: float, what: str = "") -> Iterator[Overall]:
    """A bar for clips of so many seconds in all, which gives way to what is printed meanwhile. None for a single clip,
    which has a bar of its own."""
    if clips < 2 or terminal.quiet or not sys.stderr.isatty():
        yield Overall(terminal)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(time_left(task.elapsed or 0.0, task.completed, task.total or 0.0))

    columns = (
        TextColumn("{task.fields[clips]}", markup=False),
        BarColumn(),
        TimeLeft(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        terminal.live = bar
        try:
            yield Overall(terminal, bar, clips, seconds, what)
        finally:
            terminal.live = None


def time_left(elapsed: float, completed: float, total: float) -> str:
    """0:12:30 left. elapsed: seconds on the clock that `completed` of `total` seconds of media took."""
    return f"{clock(elapsed * (total - completed) / completed)} left" if completed else "-:--:-- left"


def clock(seconds: float) -> str:
    """1:02:03"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
