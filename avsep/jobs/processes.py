"""Jobs in several processes of this machine; each may die, hang or want too much memory without harm to the others."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import wait
from types import TracebackType

from avsep.errors import AvsepError
from avsep.jobs.outcome import Outcome, failed
from avsep.jobs.worker import Row, Work, Worker

TRIES = 2
"""A process may have been killed for what another did; a second death is the job's own."""

STARTS = 3
"""Processes in a row that die before they are ready."""


class Pool:
    """`count` processes, kept between calls of `outcomes` with what they have loaded.

    time_limit: seconds a job may take from when its process is ready for it, or None. deaths: of processes at a job.
    """

    def __init__(self, work: Work, count: int, time_limit: float | None = None) -> None:
        self._work, self._count, self._limit = work, count, time_limit
        self._workers: list[Worker] = []
        self._stillborn = 0
        self.deaths = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close()

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for worker in self._workers:
            self.deaths += worker.row is not None
            worker.kill()
        self._workers = []

    def outcomes(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        """The outcome of each row as it comes; results as JSON has them. Raises AvsepError when no process starts."""
        source, again, deaths = iter(rows), deque[Row](), Counter[str]()
        upcoming = next(source, None)
        while True:
            while (row := again[0] if again else upcoming) is not None and (free := self._free()) is not None:
                free.give(row)
                if again:
                    again.popleft()
                else:
                    upcoming = next(source, None)
            waiting = upcoming is not None or bool(again)
            if not waiting and all(worker.row is None for worker in self._workers):
                return
            while waiting and len(self._workers) < self._count:
                self._workers.append(Worker(self._work))
            for worker in self._heard():
                row, since = worker.row, worker.since
                try:
                    message = worker.take()
                except EOFError:
                    how = self._bury(worker, row)
                    if row is None:
                        continue
                    deaths[row.id] += 1
                    if deaths[row.id] < TRIES:
                        again.append(row)
                    else:
                        yield failed(row.id, self._death(how), time.monotonic() - since)
                else:
                    self._stillborn = 0
                    if isinstance(message, str):
                        raise AvsepError(f"a process cannot work: {message}")
                    if message is not None:
                        yield self._checked(worker, message)
            yield from self._overdue()

    def _free(self) -> Worker | None:
        return next((worker for worker in self._workers if worker.ready and worker.row is None), None)

    def _heard(self) -> list[Worker]:
        """Those with something to say, after waiting for it until a job is overdue."""
        pipes = {worker.pipe: worker for worker in self._workers}
        longest = None
        if self._limit is not None:
            ends = [worker.since + self._limit for worker in self._workers if worker.row is not None]
            longest = max(0.0, min(ends) - time.monotonic()) if ends else None
        return [pipes[pipe] for pipe in wait(list(pipes), longest)]  # type: ignore[index]

    def _bury(self, worker: Worker, row: Row | None) -> str:
        """Take a dead process out; tells how it ended. Raises AvsepError when none comes to life."""
        how = worker.ended()
        self._workers.remove(worker)
        self.deaths += row is not None
        if not worker.ready:
            self._stillborn += 1
            if self._stillborn >= STARTS:
                raise AvsepError(
                    f"{STARTS} processes died as they started ({how}). Raise --memory-limit, or take fewer --workers"
                )
        return how

    def _death(self, how: str) -> str:
        limit = self._work.memory_limit
        if not how.startswith("SIG"):
            why = ""
        elif limit is None:
            why = ", most likely for want of memory"
        else:
            why = f", perhaps for want of more than {limit:g} GiB (--memory-limit)"
        return f"its process died {TRIES} times ({how}){why}"

    def _checked(self, worker: Worker, outcome: Outcome) -> Outcome:
        """Take one out that ends after this job, and say what its job wanted."""
        if not outcome.exhausted:
            return outcome
        worker.kill()
        self._workers.remove(worker)
        self.deaths += 1
        limit = self._work.memory_limit
        return outcome if limit is None else replace(outcome, reason=f"needs more than {limit:g} GiB (--memory-limit)")

    def _overdue(self) -> Iterator[Outcome]:
        if self._limit is None:
            return
        now = time.monotonic()
        for worker in [each for each in self._workers if each.row is not None and now - each.since >= self._limit]:
            if worker.pipe.poll():  # it made it after all
                continue
            row = worker.row
            assert row is not None
            worker.kill()
            self._workers.remove(worker)
            self.deaths += 1
            yield failed(row.id, f"takes more than {self._limit:g} s (--time-limit)", now - worker.since)
