"""Jobs on a cluster, by Ray Data: one a block, in a process of its own beside Ray's.

Ray retries for ever what kills its worker, knows no time limit, and tells neither which clip it was. So each of Ray's
workers gives the job to a process of avsep.jobs.processes, as on one machine; Ray only deals the jobs out.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from avsep.errors import AvsepError, UsageError
from avsep.jobs.engine import Engine
from avsep.jobs.outcome import Outcome, failed
from avsep.jobs.processes import Pool
from avsep.jobs.worker import Row, Work

OBJECT_STORE = 100 * 2**20
"""Bytes: what travels are paths."""

STARTS = 3

BLOCK = 2**20
"""Bytes: more than any row."""

BLOCKS = 2000
"""Jobs in flight: Ray keeps something of each."""


def outcomes(rows: Iterable[Row], work: Work, engine: Engine) -> Iterator[Outcome]:
    """The outcome of each row as it comes; results as JSON has them. Raises UsageError where no cluster is,
    AvsepError when it goes away."""
    ray = _ray()
    settings = json.dumps({"work": asdict(work), "time_limit": engine.time_limit})
    with _connected(ray, engine):
        source = iter(rows)
        while part := tuple(islice(source, BLOCKS)):
            missing = {row.id for row in part}
            try:
                for outcome in _deal(ray, part, settings, engine):
                    missing.discard(outcome.id)
                    yield outcome
            except (ray.exceptions.RayError, ConnectionError) as error:
                raise AvsepError(f"the cluster went away ({_first(error)}). Start it again to go on") from error
            if missing and not any(node["Alive"] for node in ray.nodes()):
                raise AvsepError("the cluster went away (no machine is left). Start it again to go on")
            for name in sorted(missing):
                yield failed(name, "the cluster lost it: the worker died twice, or cannot import avsep there")


def _deal(ray: Any, rows: tuple[Row, ...], settings: str, engine: Engine) -> Iterator[Outcome]:
    data = ray.data.from_items([{"row": json.dumps(asdict(row))} for row in rows], override_num_blocks=len(rows))
    at_a_time = {} if engine.workers is None else {"concurrency": engine.workers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_retries is going to have another place
        done = data.map(run_row, fn_kwargs={"settings": settings}, num_cpus=1, max_retries=1, **at_a_time)
    for row in done.iter_rows():
        yield Outcome(**json.loads(row["outcome"]))


_pools: dict[str, Pool] = {}


def run_row(item: dict[str, str], settings: str) -> dict[str, str]:
    """What a worker of Ray does: one job, in a process that it keeps for the next."""
    row = Row(**json.loads(item["row"]))
    try:
        pool = _pools.get(settings) or _new_pool(settings)
        (outcome,) = pool.outcomes([row])
        outcome = replace(outcome, exhausted=False)
    except AvsepError as error:
        outcome = failed(row.id, str(error))
    return {"outcome": json.dumps(asdict(outcome))}


def _new_pool(settings: str) -> Pool:
    for old in _pools.values():  # of an earlier run in the same cluster
        old.close()
    _pools.clear()
    given = json.loads(settings)
    _pools[settings] = Pool(Work(**given["work"]), 1, given["time_limit"])
    return _pools[settings]


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_task_oom_retries", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # as with --workers
    import ray
    import ray.data

    return ray


def _start(ray: Any, **options: Any) -> None:
    """A cluster of this machine. Ray gives its own processes few seconds to start, too few on a busy machine."""
    for left in reversed(range(STARTS)):
        try:
            ray.init(address="local", **options)
            return
        except Exception as error:  # of no kind of its own
            ray.shutdown()
            if not left:
                raise AvsepError(
                    f"Ray does not start here ({_first(error)}). Where the machine is busy, try again later or take "
                    "--workers"
                ) from error


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _connected(ray: Any, engine: Engine) -> Iterator[None]:
    """A cluster: that of RAY_ADDRESS, the one that this process is connected to, or one of this machine alone."""
    own = not ray.is_initialized()
    if own:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if "RAY_ADDRESS" in os.environ:
            try:
                ray.init(**quiet)
            except Exception as error:  # of no kind of its own; that of another version tells which on the next lines
                ray.shutdown()
                why = " ".join(str(error).split()) or type(error).__name__
                raise UsageError(
                    f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}: no cluster lets us in there ({why}). Start one with "
                    "'ray start --head', of the same versions of Ray and Python, and set RAY_AUTH_TOKEN where it wants "
                    "a token"
                ) from error
        else:
            _start(ray, num_cpus=engine.count, object_store_memory=OBJECT_STORE, include_dashboard=False, **quiet)
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    # Ray Data starts no more tasks than blocks of this size fit into its memory.
    context.target_max_block_size = BLOCK
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        if own:
            ray.shutdown()
