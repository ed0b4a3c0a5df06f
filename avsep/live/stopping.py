"""Signals that end a stream: between two pieces, so that what is known can still be given."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopped(BaseException):
    """A signal came while nothing was half-done; not an Exception, so that no step takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stopping:
    """SIGINT, SIGTERM and SIGHUP raise `Stopped`, but only inside `waiting()`; one that comes at another time waits for
    it. Used as a context manager, in the main thread; elsewhere it changes nothing."""

    def __init__(self) -> None:
        self.number = 0
        self._waiting = False
        self._before: dict[int, Any] = {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what blocks: reading and writing."""
        self._waiting = True
        try:
            if self.number:
                raise Stopped(self.number)
            yield
        finally:
            self._waiting = False

    def answered(self) -> None:
        """The stream ends now: what is left is written, unless another signal comes."""
        self.number = 0

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
        self.number = number
        if self._waiting:
            raise Stopped(number)
