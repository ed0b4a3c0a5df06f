"""What the commands say: results on stdout, everything else on stderr, a bar only where somebody watches.

Here, where it is printed, text is made safe for a terminal: a message is one line, whatever is in it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO

from avsep.errors import OutputError
from avsep.safe_text import safe_line, safe_text

if TYPE_CHECKING:
    from rich.progress import Progress

    from avsep.signals import ProgressHook  # at run time it would bring numpy, and help must be instant

_PROGRESS_SECONDS = 0.2
_NOBODY_READS = {errno.EPIPE, errno.EBADF}
"""What writing gives when the reader went away, or the stream is closed."""


def open_closed_streams() -> None:
    """Give the null device to standard streams that were closed by the caller, as by `>&-`.

    Else the next files to be opened would take their numbers, and get what libraries print.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


class Terminal:
    """Results and messages of one run. verbose adds detail, quiet leaves errors only. progress_json: tell progress to a
    program, also when quiet.

    live: a bar that is on the screen and gives way to them (a rich Progress).
    """

    def __init__(self, *, verbose: bool = False, quiet: bool = False, progress_json: bool = False) -> None:
        self.verbose, self.quiet, self.progress_json = verbose, quiet, progress_json
        self.live: Progress | None = None

    def result(self, text: str) -> None:
        """Print a result on stdout. A reader that went away does not stop the work.

        Raises OutputError where nothing can be written for another reason, such as a full disk.
        """
        with self._bar_away(), _to_stdout():
            print(_printable(text, sys.stdout), flush=True)

    def result_line(self, text: str) -> None:
        """The same, as one line."""
        self.result(safe_line(text))

    def result_json(self, document: Any) -> None:
        """Print one JSON document on stdout."""
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        self.result(json.dumps(document, indent=2, ensure_ascii=not unicode))

    def say(self, text: str) -> None:
        if not self.quiet:
            self._to_stderr(f"avsep: {safe_line(text)}")

    def detail(self, text: str) -> None:
        """More with -v, which may take several lines."""
        if self.verbose:
            self._to_stderr(f"avsep: {text}")

    def error(self, text: str) -> None:
        self._to_stderr(f"avsep: error: {safe_line(text)}")

    def _to_stderr(self, text: str) -> None:
        with self._bar_away():
            _to_stderr(text)

    @contextmanager
    def _bar_away(self) -> Iterator[None]:
        if self.live is None:
            yield
            return
        self.live.stop()
        try:
            yield
        finally:
            self.live.start()

    def flush(self) -> None:
        """Print what libraries left in stdout's buffer. Raises as `result`."""
        with _to_stdout():
            sys.stdout.flush()

    def close(self) -> None:
        """Leave nothing to be printed when the interpreter exits, which would fail with a traceback."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                drop(stream)

    @contextmanager
    def progress(self, clip: str) -> Iterator[ProgressHook]:
        """A progress hook for one clip: lines of JSON for a program, a bar on a terminal, a line per step with -v,
        otherwise nothing."""
        if self.progress_json:
            yield _json_lines(clip)
        elif self.quiet:
            yield lambda step, completed, total: None
        elif sys.stderr.isatty():
            with _bar(clip) as hook:
                yield hook
        else:
            yield self._step_lines()

    def _step_lines(self) -> ProgressHook:
        seen: set[str] = set()

        def hook(step: str, completed: float, total: float) -> None:
            if step not in seen:
                seen.add(step)
                self.detail(f"{step} ({total:.1f} s of media)")

        return hook


def _json_lines(clip: str) -> ProgressHook:
    """Progress on stderr as lines of JSON: each step's begin and end, and what is between a few times a second."""
    latest, told = "", 0.0

    def hook(step: str, completed: float, total: float) -> None:
        nonlocal latest, told
        now = time.monotonic()
        if step != latest or completed >= total or now - told > _PROGRESS_SECONDS:
            latest, told = step, now
            _to_stderr(json.dumps({"clip": clip, "step": step, "completed": completed, "total": total}))

    return hook


@contextmanager
def _bar(clip: str) -> Iterator[ProgressHook]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(f"{escape(safe_line(clip))}  {{task.description}}"),
        BarColumn(),
        TextColumn("{task.completed:.1f} / {task.total:.1f} s"),
        TimeElapsedColumn(),
    )
    # Transient: what stays on the screen is the result, not the bars.
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        tasks: dict[str, TaskID] = {}

        def hook(step: str, completed: float, total: float) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=max(total, completed))
            progress.update(tasks[step], completed=completed, total=max(total, completed))

        yield hook


def _printable(text: str, stream: TextIO) -> str:
    """Safe for a terminal, and what the stream cannot encode is shown escaped."""
    encoding = stream.encoding or "utf-8"
    return safe_text(text).encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def _to_stdout() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        drop(sys.stdout)
        if error.errno not in _NOBODY_READS:
            raise OutputError(
                f"the results cannot be printed ({error.strerror}). Send standard output somewhere else"
            ) from error


def _to_stderr(text: str) -> None:
    try:
        print(_printable(text, sys.stderr), file=sys.stderr, flush=True)
    except OSError:  # nobody reads; the exit code still tells
        drop(sys.stderr)


def drop(stream: IO[str]) -> None:
    """Send what is still to be printed nowhere, so that neither we nor the interpreter's exit fail on it."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
