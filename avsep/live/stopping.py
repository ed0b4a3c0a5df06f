"""Signals that end a stream: between two pieces, so that what is known can still be given."""

from __future__ import annotations

import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GRACE_SECONDS = 2.0
"""For a reader that takes nothing, after a signal to end."""


class Stopped(BaseException):
    """A signal came; not an Exception, so that no step takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stopping:
    """SIGINT, SIGTERM and SIGHUP raise `Stopped` where sound is waited for; one that comes at another time is kept
    until then. Used as a context manager, in the main thread; elsewhere it changes nothing."""

    def __init__(self) -> None:
        self._number = 0
        self._since = 0.0
        self._reading = False
        self._before: dict[int, Any] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what waits for sound."""
        self._reading = True
        try:
            if self._number:
                raise Stopped(self._number)
            yield
        finally:
            self._reading = False

    def wait_to_write(self, number: int) -> None:
        """Until a file descriptor takes something. Raises `Stopped` where it takes nothing for long after a signal."""
        while not select.select([], [number], [], 0.2)[1]:
            if self._number and time.monotonic() - self._since > GRACE_SECONDS:
                raise Stopped(self._number)

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:  # one that is ignored stays so: nohup
                    self._before[number] = signal.signal(number, self._came)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self._number, self._since = number, self._since or time.monotonic()
        if self._reading:
            self._reading = False
            raise Stopped(number)
