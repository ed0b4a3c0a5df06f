"""What every corpus shares: many files, several processes, a run that goes on where it was stopped, and a list of what
gave nothing, and why."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from avsep.errors import AvsepError

Job = TypeVar("Job")
Result = TypeVar("Result")


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
) -> list[Result]:
    """`work` on every job, in `workers` processes, results in the order of the jobs without those that failed.

    A job fails with AvsepError or OSError; out/skipped.tsv (name, reason) then lists it, and the others go on. `work`
    writes its own files (see `write_whole`) and looks for those of an earlier run first, so that a run that was stopped
    can be started again. Progress goes to stderr.
    """
    attempt = functools.partial(_attempt, work)
    done: list[Result] = []
    skipped: list[Skipped] = []

    def collect(number: int, job: Job, outcome: Result | AvsepError | OSError) -> None:
        print(f"[{number}/{len(jobs)}] {name(job)}", file=sys.stderr)
        if isinstance(outcome, (AvsepError, OSError)):
            skipped.append(Skipped(name(job), " ".join(str(outcome).split())))
        else:
            done.append(outcome)

    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            for number, (job, outcome) in enumerate(zip(jobs, pool.map(attempt, jobs), strict=True), 1):
                collect(number, job, outcome)
    else:
        for number, job in enumerate(jobs, 1):
            collect(number, job, attempt(job))
    write_lines(out / "skipped.tsv", ["name\treason", *("\t".join(row) for row in skipped)])
    return done


def _attempt(work: Callable[[Job], Result], job: Job) -> Result | AvsepError | OSError:
    try:
        return work(job)
    except (AvsepError, OSError) as error:
        return error


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file under a hidden name and give it its own name at the end: all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers choose the format by it.
    partial = file.with_name(f".{os.getpid()}.partial.{file.name}")
    try:
        write(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """A text file, all or nothing."""
    write_whole(file, lambda partial: partial.write_text("\n".join(lines) + "\n", encoding="utf-8"))


def command(
    doc: str,
    module: str,
    configure: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
) -> Callable[[list[str] | None], int]:
    """A `main(arguments)` for `python -m preprocessing.MODULE`: its options, errors as one line and exit code 1.

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
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted. Start it again to go on", file=sys.stderr)
            return 130
        return 0 if made else 1

    return main
