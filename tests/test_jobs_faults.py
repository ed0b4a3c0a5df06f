"""avsep.jobs where things go wrong: clips that kill, hang or take all memory, and runs that are killed themselves."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import job_factory
import pytest
from job_factory import clips, finished, lines, make, name_of, texts

from avsep.jobs.engine import Engine
from avsep.jobs.run import run_jobs

COUNT = 40
"""Clips of a run that is killed."""

POISON = {"die": "died 2 times (SIGKILL)", "hang": "takes more than 10 s", "memory": "more than 1.5 GiB"}
"""Name of the clip: what is said of it."""


def poisoned(folder: Path, cluster: Literal["ray"] | None, capsys: pytest.CaptureFixture[str]) -> None:
    """60 clips, 3 of them poison: all 57 come out, each of the three is named once with its reason.

    The third asks for 8 GiB in pieces without writing to them, and is stopped at --memory-limit 1.5, so that the
    machine does not suffer.
    """
    names = [f"{number:02d}" for number in range(57)]
    mixed = [*names[:1], "die", *names[1:20], "memory", *names[20:30], "hang", *names[30:]]
    out = folder / "out"
    engine = Engine(2, cluster, time_limit=10.0, memory_limit=1.5)
    found = run_jobs(clips(mixed, folder), functools.partial(make, out=out), out, name=name_of, engine=engine)
    assert list(found) == names
    assert texts(out) == {f"{name}.txt": name * 3 for name in names}, "half a file was left"
    told = capsys.readouterr().err
    listed = (out / "skipped.tsv").read_text()
    for name, reason in POISON.items():
        assert told.count(f"\n  {name}: ") == listed.count(f"{name}\t") == 1
        assert reason in listed.split(f"{name}\t")[1].split("\n")[0]
    assert [line["state"] for line in lines(out) if line.get("id") in POISON] == ["failed"] * 3


@pytest.mark.slow
def test_poison_harms_nobody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poisoned(tmp_path, None, capsys)


def drive(out: Path, cluster: str, seconds: float, count: int = COUNT) -> subprocess.Popen[str]:
    """A driver as a process of its own; see job_factory."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here.parent}:{here}"}
    command = [sys.executable, job_factory.__file__, out, cluster, str(seconds), str(count)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def until(true: Any, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def some_done(out: Path, driver: subprocess.Popen[str], least: int = 3) -> bool:
    if driver.poll() is not None:
        pytest.fail(f"the driver ended too early: {driver.communicate()[1]}")
    return (out / "jobs.jsonl").exists() and (out / "jobs.jsonl").read_text().count('"done"') >= least


def children(process: int) -> list[int]:
    """Numbers of the processes that a process started, and of those that they did."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def command_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def whole(count: int = COUNT) -> dict[str, str]:
    return {f"{number:03d}.txt": f"{number:03d}" * 3 for number in range(count)}


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def goes_on_to_the_same(folder: Path) -> None:
    """A run that was killed, started again without Ray, ends as one that was not."""
    before = len(finished(folder))
    assert before < COUNT
    again = drive(folder, "local", 0.2)
    _, told = again.communicate(timeout=240)
    assert again.returncode == 0
    assert f"{before} of {COUNT} were done by an earlier run" in told
    assert texts(folder) == whole()
    assert sorted(finished(folder)) == sorted(name[:3] for name in whole())


@pytest.mark.slow
def test_a_run_whose_worker_and_driver_are_killed_goes_on_to_the_same(tmp_path: Path) -> None:
    first = drive(tmp_path, "local", 0.2)
    until(lambda: some_done(tmp_path, first))
    workers = [child for child in children(first.pid) if "spawn_main" in command_of(child)]
    assert len(workers) == 2
    kill(workers[0])
    done = len(finished(tmp_path))
    until(lambda: some_done(tmp_path, first, done + 4))  # the run outlives its worker
    workers = [child for child in children(first.pid) if "spawn_main" in command_of(child)]
    kill(first.pid)
    first.communicate(timeout=120)
    assert first.returncode == -signal.SIGKILL
    until(lambda: not any(map(command_of, workers)))  # they do not outlive it
    goes_on_to_the_same(tmp_path)


@pytest.mark.slow
def test_of_two_drivers_one_works(tmp_path: Path) -> None:
    wait = tmp_path / "wait"
    wait.touch()
    first = drive(tmp_path, "local", 0, 4)
    until(lambda: some_done(tmp_path, first, 0))
    second = drive(tmp_path, "local", 0, 4)
    _, told = second.communicate(timeout=120)
    assert second.returncode == 1
    assert f"another run works there (process {first.pid} on" in told
    wait.unlink()
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert texts(tmp_path) == whole(4)
