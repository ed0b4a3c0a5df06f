"""A process that does one job after the other, and what it is held to.

A pipe of its own to each process tells without a doubt which job it was at when it died. Pools whose processes share a
queue cannot: concurrent.futures fails all jobs then, pebble may wait for ever for one whose process died at once.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from avsep.jobs.outcome import Outcome, attempt
from avsep.jobs.plain import Plain, called, from_plain, job_type, to_plain

GIB = 2**30

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Row:
    """A job as it is sent: its name and what the function is given (see avsep.jobs.plain)."""

    id: str
    job: Plain


@dataclass(frozen=True)
class Work:
    """What a process does with each row: a function, where the results go, and from which folder paths are seen."""

    call: Plain
    out: str
    folder: str
    memory_limit: float | None = None


class Worker:
    """A process of its own. It starts on creation and says when it is ready, so that imports are not taken for work."""

    def __init__(self, work: Work) -> None:
        # A fresh process: a forked one inherits the locks of the parent's threads, and no GPU.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with _one_thread():
            self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.ready = False
        self.row: Row | None = None
        self.since = 0.0

    def give(self, row: Row) -> None:
        """Let it do a job; only when it is ready and has none. It may be dead, which `take` tells."""
        self.row, self.since = row, time.monotonic()
        with contextlib.suppress(OSError):
            self.pipe.send(row)

    def take(self) -> Outcome | str | None:
        """What it sent: None when it became ready, the outcome of its job, or why it cannot start. Raises EOFError when
        it is dead."""
        try:
            message = self.pipe.recv()
        except OSError as error:
            raise EOFError from error
        self.ready = True
        self.row = None
        return message

    def kill(self) -> str:
        """End it and what it started; tells how it ended."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self.pipe.close()
        code = self._process.exitcode or 0
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def ended(self) -> str:
        """How a dead one ended."""
        self._process.join(1.0)
        return self.kill()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """What is started in the block computes with one thread: the processes are the parallelism. Libraries look for it
    when they are loaded, and a main module may load them before anything of ours runs there."""
    before = {variable: os.environ.get(variable) for variable in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value


def _serve(pipe: Connection, work: Work) -> None:
    """The process's side: jobs until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the jobs
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        os.chdir(work.folder)
        function = called(work.call)
        kind = job_type(function)
        limit_memory(work.memory_limit)
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send(None)
    while True:
        try:
            row: Row = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = attempt(row.id, functools.partial(_do, function, kind, row.job), Path(work.out))
        pipe.send(_sendable(outcome))
        if outcome.exhausted:  # what is left of its memory would be the next job's misfortune
            return


def _do(function: Callable, kind: Any, job: Plain) -> Any:
    return function(from_plain(kind, job))


def _sendable(outcome: Outcome) -> Outcome:
    result: Any = to_plain(outcome.result) if outcome.state == "done" else None
    return replace(outcome, result=result)


def limit_memory(gib: float | None) -> None:
    """Let allocations beyond so much fail in this process and in those that it starts."""
    if gib is None:
        return
    import resource

    # Not the address space: libraries reserve far more of that than they use.
    size = round(gib * GIB)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _end_with_parent() -> None:
    """Else one whose parent was killed would end its job, and what it started would go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        with contextlib.suppress(OSError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)
        os._exit(1)
