"""avsep.jobs on Ray: the same outcomes as on one machine, whoever is killed. Ray starts once for the tests in this
process; the runs that are killed bring their own."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from job_factory import clips, finished, make, name_of
from test_jobs_faults import command_of, drive, goes_on_to_the_same, kill, poisoned, some_done, until

from avsep.errors import UsageError
from avsep.jobs.cluster import OBJECT_STORE, _ray, _start
from avsep.jobs.engine import Engine
from avsep.jobs.run import run_jobs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is not installed (the extra cluster)")
    here = Path(__file__).parent
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{here.parent}:{here}"
    ray = _ray()
    _start(ray, num_cpus=2, object_store_memory=OBJECT_STORE, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def test_poison_harms_nobody_else(ray: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poisoned(tmp_path, "ray", capsys)


def test_either_engine_goes_on_where_the_other_was(
    ray: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = functools.partial(make, out=tmp_path)
    source = Path(__file__)

    def run(names: list[str], engine: Engine) -> str:
        assert list(run_jobs(clips(names, source), work, tmp_path, name=name_of, engine=engine)) == names
        return capsys.readouterr().err

    run(["a"], Engine())
    assert "1 of 3 were done by an earlier run" in run(["a", "b", "c"], Engine(2, "ray"))
    assert "3 of 4 were done by an earlier run" in run(["a", "b", "c", "d"], Engine(1, time_limit=100.0))
    assert sorted(finished(tmp_path)) == ["a", "b", "c", "d"]


def test_relative_paths_are_seen_from_where_the_driver_is(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("out")
    work = functools.partial(make, out=out)
    run_jobs(clips(["a"], tmp_path), work, out, name=name_of, engine=Engine(1, "ray"))
    assert (tmp_path / "out" / "a.txt").read_text() == "aaa"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionError("nobody there"), r"nobody there"),
        (ValueError("Malformed address: 192.0.2.1:1"), r"Malformed address: 192.0.2.1:1"),
        (RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 1.0"), r"started with: Ray: 1.0"),
        (OSError(), r"OSError"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed (the extra cluster)")

    def nobody(**options: object) -> None:
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", nobody)
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:1")
    work = functools.partial(make, out=tmp_path)
    with pytest.raises(UsageError, match=rf"RAY_ADDRESS=192.0.2.1:1: no cluster lets us in there .*{said}"):
        run_jobs(clips(["a"], tmp_path), work, tmp_path, name=name_of, engine=Engine(1, "ray"))


def owned(process: int, word: str) -> list[int]:
    """Processes whose command holds a word, of the session that a driver began."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and word in command_of(int(entry.name)):
            try:
                if os.getsid(int(entry.name)) == process or below(int(entry.name), process):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def below(process: int, ancestor: int) -> bool:
    while process > 1:
        if process == ancestor:
            return True
        status = Path(f"/proc/{process}/status").read_text()
        process = int(status.split("PPid:")[1].split()[0])
    return False


def test_a_run_whose_worker_driver_and_raylet_are_killed_goes_on_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker first, then the driver; started again, the raylet; started once more, without Ray: the list tells what
    is finished whichever engine ran."""
    pytest.importorskip("ray", reason="Ray is not installed (the extra cluster)")
    # Else Ray waits 15 s for the raylet that was killed.
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "2")
    first = drive(tmp_path, "ray", 0.2)
    until(lambda: some_done(tmp_path, first))
    kill(owned(first.pid, "spawn_main")[0])
    done = len(finished(tmp_path))
    until(lambda: some_done(tmp_path, first, done + 4))  # the run outlives its worker
    kill(first.pid)
    first.communicate(timeout=240)
    assert first.returncode == -signal.SIGKILL
    until(lambda: not owned(first.pid, "spawn_main"))
    done = len(finished(tmp_path))

    second = drive(tmp_path, "ray", 0.2)
    until(lambda: some_done(tmp_path, second, done + 3))
    kill(owned(second.pid, "raylet/raylet")[0])
    second.communicate(timeout=240)
    assert second.returncode != 0
    until(lambda: not owned(second.pid, "spawn_main"))
    goes_on_to_the_same(tmp_path)
