"""preprocessing.jobs: many files, some of them odd, in several processes that may die."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avsep.errors import AvsepError, InputError, UsageError
from avsep.storage.files import write_whole
from preprocessing.jobs import add_seed, add_workers, command, run_jobs


def work(job: str) -> str:
    """What the name of the job says."""
    if job == "bad":
        raise InputError("the file is\n\tbad")
    if job == "odd":
        raise ZeroDivisionError("division by zero")
    if job == "die":
        os._exit(1)
    if job == "stop":
        raise KeyboardInterrupt
    return f"{job} by {'parent' if os.environ.get('OMP_NUM_THREADS') != '1' else 'worker'}"


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_their_order_and_failures_are_listed(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    jobs = ["a", "bad", "b", "odd", *map(str, range(30))]
    done = run_jobs(jobs, work, tmp_path, workers=workers, skipped_name="left.tsv")
    by = "worker" if workers > 1 else "parent"
    assert done == [f"{name} by {by}" for name in ["a", "b", *map(str, range(30))]]
    assert (tmp_path / "left.tsv").read_text().splitlines() == [
        "name\treason",
        "bad\tthe file is bad",
        "odd\tunexpected ZeroDivisionError: division by zero",
    ]
    assert "[2/34] bad" in capsys.readouterr().err


def test_a_worker_that_dies_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(AvsepError, match=r"one of the 2 processes died.*fewer --workers"):
        run_jobs(["a", "die", "b"], work, tmp_path, workers=2)
    assert (tmp_path / "skipped.tsv").is_file()


def test_an_interrupted_run_keeps_its_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = command("doc", "x", lambda parser: None, lambda options: len(run_jobs(["bad", "stop", "a"], work, tmp_path)))
    assert main([]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert (tmp_path / "skipped.tsv").read_text() == "name\treason\nbad\tthe file is bad\n"


@pytest.mark.parametrize(("error", "code"), [(InputError("a"), 1), (UsageError("a"), 2), (OSError("a"), 1)])
def test_errors_are_one_line_and_an_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def run(options: argparse.Namespace) -> int:
        raise error

    assert command("doc", "x", lambda parser: None, run)([]) == code
    assert capsys.readouterr().err == "error: a\n"
    assert command("doc", "x", lambda parser: None, lambda options: 0)([]) == 1, "nothing made is no success"
    assert command("doc", "x", lambda parser: None, lambda options: 2)([]) == 0


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_workers_are_counted_from_one(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = command("doc", "x", add_workers, lambda options: options.workers)
    with pytest.raises(SystemExit) as stop:
        main(["--workers", number])
    assert stop.value.code == 2
    assert f"'{number}' is not a number of 1 or more" in capsys.readouterr().err
    assert main([]) == 0


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def half(file: Path) -> None:
        file.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "deep" / "a.txt", half)
    assert not list((tmp_path / "deep").iterdir())


RUN_AND_DIE = """
import os, sys, time
from preprocessing.jobs import run_jobs

def work(job):
    print(os.getpid(), flush=True)
    time.sleep(0.2)

if __name__ == "__main__":
    from pathlib import Path
    run_jobs(list(range(1000)), work, Path(sys.argv[1]), workers=2)
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN_AND_DIE)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert parent.stdout is not None
    assert int(parent.stdout.readline()) != parent.pid
    parent.kill()
    # The pipe ends when the last process that could write to it is gone.
    parent.communicate(timeout=60)


@pytest.mark.parametrize("seed", ["-1", "one", "0.5"])
def test_a_seed_is_0_or_more(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = command("doc", "x", add_seed, lambda options: options.seed)
    with pytest.raises(SystemExit):
        main(["--seed", seed])
    assert f"'{seed}' is not a number of 0 or more" in capsys.readouterr().err
    assert main(["--seed", "3"]) == 0
