"""Jobs that do what their names say, for tests of avsep.jobs; and a driver that tests kill."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avsep.errors import InputError
from avsep.jobs.engine import Engine
from avsep.jobs.run import run_jobs
from avsep.storage.files import partial_name, write_whole

MIB = 2**20


class Clip(NamedTuple):
    """name: what to do, before a dot: die, hang, memory, bad, odd, else write a file."""

    name: str
    source: Path


def name_of(clip: Clip) -> str:
    return clip.name


def make(clip: Clip, out: Path, seconds: float = 0.0) -> Path:
    """Write out/NAME.txt, whose text tells nothing of who did it, once there is no file out/wait."""
    what = clip.name.split(".")[0]
    target = out / f"{clip.name}.txt"
    if what == "die":
        # As a process that is killed leaves things: half a file under a temporary name.
        partial_name(target, os.getpid()).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(3600)
    if what == "memory":
        # Asked for, never written to: it costs the machine nothing and takes no time.
        taken = [np.empty(64 * MIB, np.uint8) for _ in range(128)]
        raise AssertionError(f"{len(taken)} pieces of 64 MiB were there")
    if what == "bad":
        raise InputError("the file is\n\tbad")
    if what == "odd":
        raise ZeroDivisionError("division by zero")
    time.sleep(seconds)
    while (out / "wait").exists():
        time.sleep(0.05)
    write_whole(target, lambda partial: partial.write_text(clip.name * 3))
    return target


def clips(names: list[str], source: Path) -> list[Clip]:
    return [Clip(name, source) for name in names]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "jobs.jsonl").read_text().splitlines()]


def finished(folder: Path) -> list[str]:
    return [line["id"] for line in lines(folder) if line.get("state") == "done"]


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir() if file.name not in ("jobs.jsonl", "skipped.tsv")}


def main() -> None:
    """python job_factory.py OUT ENGINE SECONDS COUNT: a driver of 2 workers."""
    out, cluster, seconds, count = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    work = partial(make, out=out, seconds=seconds)
    engine = Engine(2, "ray" if cluster == "ray" else None, time_limit=60.0)
    names = [f"{number:03d}" for number in range(count)]
    run_jobs(clips(names, Path(__file__)), work, out, name=name_of, engine=engine)


if __name__ == "__main__":
    import job_factory  # workers find functions in a module, not in a script

    job_factory.main()
