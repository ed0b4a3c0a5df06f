"""What every corpus shares: many files, several processes, a run that goes on where it was stopped, and a list of what
gave nothing, and why."""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, TypeVar

from avsep.errors import AvsepError
from avsep.safe_text import safe_line
from avsep.storage.files import write_lines

Job = TypeVar("Job")
Result = TypeVar("Result")

_LARGEST_CHUNK = 16
"""Jobs handed to a process at once: fewer of them would keep a million futures in memory."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Skipped(NamedTuple):
    """A job that gave nothing: its name and the reason in one line."""

    name: str
    reason: str


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    out: Path,
    *,
    name: Callable[[Job], str] = str,
    workers: int = 1,
    skipped_name: str = "skipped.tsv",
) -> list[Result]:
    """`work` on every job, in `workers` processes, results in the order of the jobs without those that failed.

    A job that raises is listed in out/skipped_name (name, reason), and the others go on: with the bare message of an
    AvsepError or OSError, and the kind of error before it for any other, which is a surprise. `work` writes its own
    files (see `write_whole`) and looks for those of an earlier run first, so that a run that was stopped can be started
    again. With more than one worker `work` and the jobs are pickled: functions of a module, not lambdas. Progress goes
    to stderr. Raises AvsepError when a process dies.
    """
    done: list[Result] = []
    skipped: list[Skipped] = []
    try:
        outcomes = _outcomes(jobs, functools.partial(_attempt, work), workers)
        for number, (job, outcome) in enumerate(zip(jobs, outcomes, strict=True), 1):
            print(f"[{number}/{len(jobs)}] {safe_line(name(job))}", file=sys.stderr)
            if isinstance(outcome, _Failed):
                skipped.append(Skipped(name(job), outcome.reason))
            else:
                done.append(outcome)
    finally:
        write_lines(out / skipped_name, ["name\treason", *("\t".join(row) for row in skipped)])
    return done


class _Failed(NamedTuple):
    reason: str


def _attempt(work: Callable[[Job], Result], job: Job) -> Result | _Failed:
    try:
        return work(job)
    except (AvsepError, OSError) as error:
        reason = str(error)
    except Exception as error:  # one odd file of a hundred thousand must not end the run
        reason = f"unexpected {type(error).__name__}: {error}"
    return _Failed(" ".join(reason.split()))


def _outcomes(
    jobs: Sequence[Job], attempt: Callable[[Job], Result | _Failed], workers: int
) -> Iterator[Result | _Failed]:
    if workers <= 1:
        yield from map(attempt, jobs)
        return
    # Fresh processes: a forked one inherits the locks of the parent's threads, and no GPU.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare_worker)
    try:
        chunk = max(1, min(_LARGEST_CHUNK, len(jobs) // (8 * workers)))
        yield from pool.map(attempt, jobs, chunksize=chunk)
    except BrokenProcessPool as error:
        raise AvsepError(
            f"one of the {workers} processes died, most likely for want of memory. Start it again with fewer --workers;"
            " what is done stays done"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Every process computes with one thread, the processes being the parallelism, and ends with its parent."""
    for variable in _THREADS:
        os.environ[variable] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Else a worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def add_workers(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    """The option --workers, by default one process a core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    add_count(parser, "--workers", "processes (default: %(default)s)", default or cores)


def add_count(parser: argparse.ArgumentParser, option: str, text: str, default: int | None = None) -> None:
    """An option that takes a number of 1 or more."""
    parser.add_argument(option, type=_count, default=default, metavar="N", help=text)


def add_seed(parser: argparse.ArgumentParser, text: str = "of all random choices", default: int = 0) -> None:
    """--seed, 0 or more."""
    parser.add_argument("--seed", type=_seed, default=default, metavar="N", help=f"{text} (default: %(default)s)")


def _count(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {least} or more")
    return int(text)


def command(
    doc: str,
    module: str,
    configure: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
) -> Callable[..., int]:
    """A `main(arguments=None)` for `python -m preprocessing.MODULE`: options, errors in one line, exit code.

    `run` returns how many items were made; none at all is exit code 1.
    """

    def main(arguments: list[str] | None = None) -> int:
        parser = argparse.ArgumentParser(
            prog=f"python -m preprocessing.{module}",
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        configure(parser)
        options = parser.parse_args(arguments)
        try:
            made = run(options)
        except (AvsepError, OSError) as error:
            print(f"error: {safe_line(str(error))}", file=sys.stderr)
            return getattr(error, "exit_code", 1)
        except KeyboardInterrupt:
            print("interrupted. Start it again to go on", file=sys.stderr)
            return 130
        return 0 if made else 1

    return main
