"""What every tool that goes over clips calls: run what is not finished, note what came of it, tell how it went."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.ledger import Key, Ledger, read_finished
from avsep.jobs.outcome import GONE, Outcome, attempt, stamps
from avsep.jobs.plain import Plain, from_plain, name_of, paths_in, result_type, to_plain
from avsep.safe_text import safe_line
from avsep.storage.files import remove_partials, write_lines

Job = TypeVar("Job")
Result = TypeVar("Result")

NOT_ASKED = ("overwrite", "threads")
"""Options of a function that change whether it works or how fast, not what comes out."""

NAMED = 20
"""Failed jobs that are named at the end; all are in the list of those that gave nothing."""


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    out: Path,
    *,
    name: Callable[[Job], str] = str,
    engine: Engine = IN_PROCESS,
    skipped: Path | None = None,
    again: bool = False,
) -> dict[str, Result]:
    """`work` on every job; results by the names of the jobs (see `unique`), in their order, without those that gave
    nothing.

    What gives nothing is listed in `skipped` (name, reason; by default out/skipped.tsv), and the others go on: with the
    bare message of an AvsepError or OSError, and the kind of error before it for any other, which is a surprise.
    Progress and the failed ones go to stderr. See `outcomes` for what work and jobs must be, and for runs that are
    started again.
    """
    named = unique(jobs, name)
    found: dict[str, Outcome] = {}
    try:
        for outcome in outcomes(named, work, out, engine, again=again):
            found[outcome.id] = outcome
            if not outcome.earlier:
                print(f"[{len(found)}/{len(named)}] {safe_line(outcome.id)}", file=sys.stderr)
        earlier = sum(outcome.earlier for outcome in found.values())
        if earlier:
            print(f"{earlier} of {len(named)} were done by an earlier run", file=sys.stderr)
    finally:
        left = [found[key] for key in named if key in found and found[key].state != "done"]
        if found or not named:
            write_lines(
                skipped or out / "skipped.tsv",
                ["name\treason", *(f"{safe_line(each.id)}\t{safe_line(each.reason)}" for each in left)],
            )
        tell_failed(left)
    return {key: found[key].result for key in named if found[key].state == "done"}


def unique(jobs: Iterable[Job], name: Callable[[Job], str]) -> dict[str, Job]:
    """Jobs by their names; those of a name that was there get a number: "a", "a (2)"."""
    named: dict[str, Job] = {}
    seen: Counter[str] = Counter()
    for job in jobs:
        given = name(job)
        seen[given] += 1
        while (own := given if seen[given] == 1 else f"{given} ({seen[given]})") in named:
            seen[given] += 1
        named[own] = job
    return named


def tell_failed(left: Sequence[Outcome]) -> None:
    """Name those that something happened to, each once."""
    failed = [outcome for outcome in left if outcome.state == "failed"]
    if failed:
        print(f"{len(failed)} failed:", file=sys.stderr)
    for outcome in failed[:NAMED]:
        print(f"  {safe_line(outcome.id)}: {safe_line(outcome.reason)}", file=sys.stderr)
    if len(failed) > NAMED:
        print(f"  and {len(failed) - NAMED} more", file=sys.stderr)


def outcomes(
    jobs: Mapping[str, Job],
    work: Callable[[Job], Any],
    out: Path,
    engine: Engine = IN_PROCESS,
    *,
    again: bool = False,
    tidy: bool = True,
) -> Iterator[Outcome]:
    """The outcome of every job by its name: what an earlier run finished first, then the others as they come.

    Finished is what out/jobs.jsonl says is done, with the same options on the same files (size and time of change), and
    whose files are still there as they were left; with `again` nothing is. What gave nothing is tried again. `work`
    writes its own files under temporary names (`write_whole`) and returns paths and numbers. Where the engine has
    processes it is a function of a module, or a partial of one with keywords, and jobs and options are what
    avsep.jobs.plain knows. tidy: remove what killed processes left half-written below `out`. Raises OutputError where
    another run works in the folder, AvsepError when processes or the cluster cannot start.
    """
    key = _key(work)
    _stamp.cache_clear()
    with Ledger(out) as ledger:
        if ledger.interrupted and tidy:
            remove_partials(out)
        asked = {name: _asked(work, job) for name, job in jobs.items()}
        earlier = {} if again else _earlier(asked, work, ledger.finished)
        yield from earlier.values()
        todo = {name: job for name, job in jobs.items() if name not in earlier}
        with closing(_new(todo, work, out, engine, tidy)) as found:
            for outcome in found:
                ledger.add(key, asked[outcome.id], outcome.row(to_plain(outcome.result)))
                yield outcome


def finished(jobs: Mapping[str, Job], work: Callable[[Job], Any], out: Path) -> Mapping[str, Outcome]:
    """Those of the jobs that an earlier run finished, in the sense of `outcomes`; writes nothing."""
    _stamp.cache_clear()
    return _earlier({name: _asked(work, job) for name, job in jobs.items()}, work, read_finished(out))


def _earlier(asked: Mapping[str, str], work: Callable, rows: Mapping[Key, dict[str, Plain]]) -> dict[str, Outcome]:
    key = _key(work)
    found = {name: _finished(rows.get((key, name)), digest, work) for name, digest in asked.items()}
    return {name: outcome for name, outcome in found.items() if outcome is not None}


def _new(
    jobs: Mapping[str, Job], work: Callable[[Job], Any], out: Path, engine: Engine, tidy: bool
) -> Generator[Outcome]:
    if not jobs:
        return
    if engine.in_process:
        for name, job in jobs.items():
            yield attempt(name, functools.partial(work, job), out)
        return
    kind = result_type(work)
    with closing(_elsewhere(jobs, work, out, engine, tidy)) as found:
        for outcome in found:
            yield replace(outcome, result=from_plain(kind, outcome.result)) if outcome.state == "done" else outcome


def _elsewhere(
    jobs: Mapping[str, Job], work: Callable[[Job], Any], out: Path, engine: Engine, tidy: bool
) -> Generator[Outcome]:
    from avsep.jobs.worker import Row, Work

    sent = Work(to_plain(work), os.fspath(out), os.getcwd(), engine.memory_limit)
    rows = (Row(name, to_plain(job)) for name, job in jobs.items())
    if engine.cluster:
        from avsep.jobs import cluster

        try:
            yield from cluster.outcomes(rows, sent, engine)
        finally:
            if tidy:
                remove_partials(out)  # Ray does not tell of a process that it replaced
    else:
        from avsep.jobs.processes import Pool

        pool = Pool(sent, min(engine.count, len(jobs)), engine.time_limit)
        try:
            with pool:
                yield from pool.outcomes(rows)
        finally:
            if tidy and pool.deaths:
                remove_partials(out)


def _finished(row: dict[str, Plain] | None, asked: str, work: Callable) -> Outcome | None:
    """What an earlier run found, if it still holds."""
    if row is None or row["state"] != "done" or not asked or row["asked"] != asked:
        return None
    try:
        result = from_plain(result_type(work), row["result"])
    except (TypeError, ValueError, LookupError):  # of another version
        return None
    found = stamps(result)
    if GONE in found or found != row.get("stamps"):
        return None
    return Outcome(row["id"], "done", result=result, earlier=True)


def _key(work: Callable) -> str:
    try:
        return name_of(work.func if isinstance(work, functools.partial) else work)
    except TypeError:
        return ""


def _asked(work: Callable, job: Any) -> str:
    """A digest of what is asked: function, options, job, and the state of the files that the job names. Empty where one
    of them has no lasting name."""
    if isinstance(work, functools.partial):
        kept = {name: value for name, value in work.keywords.items() if name not in NOT_ASKED}
        work = functools.partial(work.func, **kept) if kept else work.func
    try:
        text = json.dumps([to_plain(work), to_plain(job), [_stamp(path) for path in paths_in(job)]], sort_keys=True)
    except TypeError:
        return ""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@functools.lru_cache(maxsize=100_000)
def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (-1, 0)
    return found.st_size, found.st_mtime_ns
