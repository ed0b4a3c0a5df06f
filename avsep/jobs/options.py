"""The options of all tools that go over clips; nothing heavy is imported, so that help stays instant."""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys

from avsep.errors import UsageError
from avsep.jobs.engine import Engine, cores


def add_engine(parser: argparse.ArgumentParser, workers: int | None = None) -> None:
    """--jobs, also called --workers (by default one process a core), --cluster, --time-limit, --memory-limit. See
    `engine_of`."""
    group = parser.add_argument_group("many clips")
    group.add_argument(
        "--jobs",
        "--workers",
        dest="workers",
        type=at_least,
        metavar="N",
        help=f"processes of this machine, on a cluster clips at a time (default: {workers or cores()}, on a cluster its"
        " cores)",
    )
    group.add_argument(
        "--cluster",
        choices=("ray",),
        help="let Ray deal the clips out, here or on the cluster of RAY_ADDRESS, whose machines see the same files",
    )
    group.add_argument(
        "--time-limit", type=positive, metavar="SECONDS", help="give a clip up that takes longer (default: none)"
    )
    group.add_argument(
        "--memory-limit", type=positive, metavar="GIB", help="give a clip up whose process wants more (default: none)"
    )
    parser.set_defaults(workers_of_this_machine=workers)


def engine_of(options: argparse.Namespace) -> Engine:
    """What `add_engine` was told. Raises UsageError where it cannot be had here."""
    if options.memory_limit is not None and sys.platform != "linux":
        raise UsageError("--memory-limit works on Linux only. Leave it out")
    if options.cluster == "ray" and importlib.util.find_spec("ray") is None:
        raise UsageError("--cluster ray needs Ray: pip install 'avsep[cluster]'")
    workers = options.workers
    if workers is None and options.cluster is None:
        workers = options.workers_of_this_machine or cores()
    return Engine(workers, options.cluster, options.time_limit, options.memory_limit)


def at_least(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {least} or more")
    return int(text)


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
