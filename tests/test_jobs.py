"""avsep.jobs: outcomes, the list of what is finished, its lock, values on their way, and processes that may die."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import pytest
from job_factory import Clip, clips, finished, lines, make, name_of

from avsep.errors import AvsepError, OutputError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.ledger import NAME, Ledger, _last_run, read_finished
from avsep.jobs.outcome import Outcome
from avsep.jobs.plain import called, from_plain, job_type, result_type, to_plain
from avsep.jobs.processes import Pool
from avsep.jobs.run import outcomes, run_jobs
from avsep.jobs.worker import Row, Work
from avsep.storage import files
from avsep.storage.files import DAY, partial_name


def test_results_keep_their_order_and_those_without_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = clips(["b", "bad", "a", "odd"], tmp_path)
    found = run_jobs(jobs, functools.partial(make, out=tmp_path), tmp_path, name=name_of)
    assert found == {"b": tmp_path / "b.txt", "a": tmp_path / "a.txt"}
    assert list(found) == ["b", "a"]
    assert (tmp_path / "skipped.tsv").read_text().splitlines() == [
        "name\treason",
        "bad\tthe file is bad",
        "odd\tunexpected ZeroDivisionError: division by zero",
    ]
    told = capsys.readouterr().err
    assert "[2/4] bad\n" in told
    assert told.endswith("1 failed:\n  odd: unexpected ZeroDivisionError: division by zero\n")
    rows = {line["id"]: line for line in lines(tmp_path) if "id" in line}
    assert [(rows[name]["state"], rows[name]["bytes"]) for name in ("b", "bad", "odd")] == [
        ("done", 3),
        ("skipped", 0),
        ("failed", 0),
    ]


def test_jobs_of_one_name_are_numbered(tmp_path: Path) -> None:
    jobs = clips(["a", "b", "a", "a (2)", "a"], tmp_path)
    found = run_jobs(jobs, functools.partial(make, out=tmp_path), tmp_path, name=name_of)
    assert list(found) == ["a", "b", "a (2)", "a (2) (2)", "a (3)"]
    assert [path.stem for path in found.values()] == [job.name for job in jobs]


def counted(clip: Clip, out: Path, loud: bool = False, overwrite: bool = False) -> Path:
    """`make`, with a mark in a file for every call."""
    with (out / "calls").open("a") as calls:
        calls.write(f"{clip.name} ")
    return make(clip, out)


def calls(out: Path) -> str:
    file = out / "calls"
    text = file.read_text().strip() if file.exists() else ""
    file.unlink(missing_ok=True)
    return text


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.write_text("1")
    jobs = clips(["a", "b", "bad"], source)
    work = functools.partial(counted, out=out)

    def run(work: Any = work, **options: Any) -> str:
        assert set(run_jobs(jobs, work, out, name=name_of, **options)) == {"a", "b"}
        return calls(out)

    assert run() == "a b bad"
    assert run() == "bad", "what gave nothing is tried again"
    assert run(functools.partial(counted, out=out, overwrite=True), again=True) == "a b bad"
    assert run() == "bad", "--overwrite does not change what comes out"
    (out / "a.txt").unlink()
    assert run() == "a bad", "its file is gone"
    assert run(functools.partial(counted, out=out, loud=True)) == "a b bad", "other options"
    source.write_text("22")
    assert run() == "a b bad", "another source"


def test_a_result_that_was_replaced_is_made_again(tmp_path: Path) -> None:
    jobs, work = clips(["a", "b"], tmp_path / "x"), functools.partial(counted, out=tmp_path)

    def run() -> str:
        run_jobs(jobs, work, tmp_path, name=name_of)
        return calls(tmp_path)

    assert run() == "a b"
    (tmp_path / "a.txt").write_text("what somebody else made")
    assert run() == "a"
    assert (tmp_path / "a.txt").read_text() == "aaa"
    found = (tmp_path / "b.txt").stat()
    os.utime(tmp_path / "b.txt", ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert run() == "b", "of one size"
    assert run() == ""


def in_folder(clip: Clip, out: Path) -> tuple[Path, Path]:
    """A folder of its own and the file in it, beside which others come and go."""
    folder = out / clip.name
    folder.mkdir(exist_ok=True)
    return folder, make(clip, folder)


def test_of_a_folder_it_counts_that_it_is_there(tmp_path: Path) -> None:
    jobs, work = clips(["a"], tmp_path / "x"), functools.partial(in_folder, out=tmp_path)
    run_jobs(jobs, work, tmp_path, name=name_of)
    assert [line["bytes"] for line in lines(tmp_path) if "id" in line] == [3], "the file counts once"
    (tmp_path / "a" / "other").touch()
    run_jobs(jobs, work, tmp_path, name=name_of)
    assert finished(tmp_path) == ["a"]


def returns_a_thing(clip: Clip) -> Any:
    return object() if clip.name == "a" else clip.name


def test_a_result_that_cannot_be_sent_is_the_jobs_fault(tmp_path: Path) -> None:
    found = run_jobs(clips(["a", "b"], tmp_path), returns_a_thing, tmp_path, name=name_of)
    assert found == {"b": "b"}
    assert "a\tunexpected TypeError: object is nothing that" in (tmp_path / "skipped.tsv").read_text()


@pytest.mark.slow
def test_a_result_that_cannot_be_sent_kills_no_process(tmp_path: Path) -> None:
    engine = Engine(1, time_limit=100.0)
    found = run_jobs(clips(["a", "b"], tmp_path), returns_a_thing, tmp_path, name=name_of, engine=engine)
    assert found == {"b": "b"}
    assert "a\tunexpected TypeError: object is nothing that" in (tmp_path / "skipped.tsv").read_text()


def test_a_run_says_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run_jobs(clips(["a", "b"], tmp_path / "x"), functools.partial(make, out=tmp_path), tmp_path, name=name_of)
    assert capsys.readouterr().err.splitlines()[-1] == "2 of 2 were done by an earlier run"


def test_an_option_without_a_lasting_name_is_never_taken_for_finished(tmp_path: Path) -> None:
    work = functools.partial(with_function, out=tmp_path, function=lambda: 1)
    for _ in range(2):
        run_jobs(clips(["a"], tmp_path / "x"), work, tmp_path, name=name_of)
    assert finished(tmp_path) == ["a", "a"]


def with_function(clip: Clip, out: Path, function: Any) -> Path:
    return make(clip, out)


def test_tools_in_one_folder_have_lists_of_their_own(tmp_path: Path) -> None:
    jobs, other = clips(["a"], tmp_path / "x"), tmp_path / "other"
    other.mkdir()
    for work, out in ((make, tmp_path), (counted, other), (make, tmp_path), (counted, other)):
        run_jobs(jobs, functools.partial(work, out=out), tmp_path, name=name_of)
    assert calls(other) == "a"
    assert finished(tmp_path) == ["a", "a"]


@pytest.mark.parametrize("end", ['{"id": "b", "st', "\x00\x00", '{"id": "b"}'])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, end: str) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add("w", "asked", Outcome("a", "done").row(1))
    whole = (tmp_path / "jobs.jsonl").read_text()
    (tmp_path / "jobs.jsonl").write_text(whole + end)
    with Ledger(tmp_path) as ledger:
        assert set(ledger.finished) == {("w", "a")}
        assert ledger.finished["w", "a"]["result"] == 1
        ledger.add("w", "asked", Outcome("b", "done").row(None))
    assert [line["id"] for line in lines(tmp_path) if "id" in line] == ["a", "b"]


def test_lines_that_are_none_are_passed_over(tmp_path: Path) -> None:
    good = {"id": "a", "work": "w", "asked": "", "state": "done", "result": None}
    odd = [{"id": "x"}, {**good, "id": ["a"]}, {**good, "work": {}}, {"run": 3}, {"run": {}}]
    text = "".join(f"{json.dumps(line)}\n" for line in (*odd, good))
    (tmp_path / "jobs.jsonl").write_text(f"no json\n[1]\n{text}")
    with Ledger(tmp_path) as ledger:
        assert list(ledger.finished) == [("w", "a")]
    assert list(read_finished(tmp_path)) == [("w", "a")]
    assert str(os.getpid()) in _last_run(tmp_path / "jobs.jsonl")


class FullDisk(io.BytesIO):
    """As a file whose disk has room for so many writes."""

    def __init__(self, room: int, descriptor: int) -> None:
        self.room, self.descriptor = room, descriptor

    def write(self, data: Any) -> int:
        self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device")
        return len(data)

    def fileno(self) -> int:
        return self.descriptor


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_full_disk_is_one_line_and_the_folder_is_free_again(
    tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, work = {name: Clip(name, tmp_path) for name in "ab"}, functools.partial(make, out=tmp_path)
    tmp_path.joinpath("jobs.jsonl").touch()
    with (tmp_path / "jobs.jsonl").open("rb") as real:
        full = FullDisk(room, real.fileno())
        opened = Path.open
        with monkeypatch.context() as patch:
            patch.setattr(
                Path, "open", lambda file, *how, **more: (file.name == NAME and full) or opened(file, *how, **more)
            )
            with pytest.raises(OutputError, match=r"jobs.jsonl: .*No space left.*go on"):
                list(outcomes(jobs, work, tmp_path))
    assert full.closed
    assert [outcome.id for outcome in outcomes(jobs, work, tmp_path)] == ["a", "b"]


def test_a_full_disk_hides_no_other_error(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)

    def work() -> None:
        with ledger:
            assert ledger._stream is not None
            ledger._stream.close()
            ledger._stream = full
            raise ZeroDivisionError

    with (tmp_path / "other").open("wb") as real:
        full = FullDisk(0, real.fileno())
        with pytest.raises(ZeroDivisionError):
            work()
    assert full.closed


def test_a_second_driver_says_who_works_there(tmp_path: Path) -> None:
    work = functools.partial(make, out=tmp_path)
    first = outcomes({"a": Clip("a", tmp_path), "b": Clip("b", tmp_path)}, work, tmp_path)
    assert next(first).id == "a"
    with pytest.raises(OutputError, match=rf"another run works there \(process {os.getpid()} on .*, since 20"):
        run_jobs(clips(["a"], tmp_path), work, tmp_path, name=name_of)
    assert not (tmp_path / "skipped.tsv").exists(), "the first one's"
    assert [outcome.id for outcome in first] == ["b"]
    assert set(run_jobs(clips(["a"], tmp_path), work, tmp_path, name=name_of)) == {"a"}


def test_storage_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(stream: object, kind: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    with Ledger(tmp_path):
        pass
    assert "cannot be locked ([Errno 95] Operation not supported)" in capsys.readouterr().err


def test_half_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    half, other = partial_name(deep / "a.npz", 99999999), partial_name(deep / "mine", os.getpid())
    elsewhere, old = deep / ".0123abcd-99999999.partial.b", deep / ".0123abcd-99999999.partial.c"
    for file in (half, other, elsewhere, old):
        file.touch()
    os.utime(old, (time.time() - 2 * DAY,) * 2)
    jobs, work = clips(["a"], tmp_path / "x"), functools.partial(make, out=tmp_path)
    run_jobs(jobs, work, tmp_path, name=name_of)
    assert half.exists(), "no run was killed here"
    with (tmp_path / "jobs.jsonl").open("a") as file:
        file.write('{"run": {"host": "h", "process": 1, "since": "s"}}\n')
    run_jobs(jobs, work, tmp_path, name=name_of)
    assert not half.exists()
    assert other.exists()
    assert elsewhere.exists(), "another machine may be writing it, where the number means another process"
    assert not old.exists()


def test_two_machines_write_under_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for host in ("a", "b"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        files._here.cache_clear()
        with files.written_whole(tmp_path / "x.npz") as partial:
            names.add(partial.name)
            partial.touch()
    files._here.cache_clear()
    assert len(names) == 2


@dataclass(frozen=True)
class Deep:
    """All that a job may hold."""

    path: Path
    pair: tuple[int, float]
    many: tuple[Path, ...]
    names: dict[str, Path]
    kind: Literal["x", "y"]
    clip: Clip
    maybe: tuple[float, float] | None = None
    number: int | Literal["auto"] = "auto"


class Two(NamedTuple):
    deep: Deep
    ratio: float


def take(row: Two, again: Any, wanted: float = 1.0) -> Path | None:
    return row.deep.path if wanted > 1 else None


def test_values_come_back_as_they_were_sent() -> None:
    deep = Deep(Path("a"), (1, 0.1), (Path("b"),), {"c": Path("d")}, "y", Clip("e", Path("f")), (0.5, 1.0), 3)
    row = Two(deep, 2.0)
    sent = json.loads(json.dumps(to_plain(row)))
    assert from_plain(Two, sent) == row
    work = functools.partial(take, again=functools.partial(make, out=Path("o")), wanted=2.0)
    received = called(json.loads(json.dumps(to_plain(work))))
    assert received.keywords["wanted"] == 2.0
    assert (job_type(received), result_type(received)) == (Two, Path | None)
    assert from_plain(result_type(received), to_plain(received(row))) == Path("a")
    assert from_plain(result_type(received), None) is None


@pytest.mark.parametrize(
    ("kind", "data"), [(int, "1"), (Literal["x"], "y"), (Path, None), (list[int], 3), (int | None, "a"), (Two, [])]
)
def test_what_does_not_fit_is_refused(kind: Any, data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_plain(kind, data)


@pytest.mark.parametrize("value", [object(), lambda: 1, functools.partial(make, Clip("a", Path()))])
def test_what_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        to_plain({"a": [value]})


def test_one_worker_without_limits_is_this_process() -> None:
    assert IN_PROCESS.in_process
    assert Engine(1).in_process
    others = (Engine(2), Engine(1, "ray"), Engine(1, time_limit=1.0), Engine(1, memory_limit=1.0))
    assert not any(engine.in_process for engine in others)


class Idle:
    """A pool that does nothing, and whose processes died so often."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *_: object) -> None: ...

    def outcomes(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        return (Outcome(row.id, "failed") for row in rows)


@pytest.mark.parametrize("deaths", [0, 1])
def test_the_folder_is_searched_only_after_a_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    monkeypatch.setattr("avsep.jobs.processes.Pool", lambda *_: Idle(deaths))
    half = partial_name(tmp_path / "a.npz", 99999999)
    half.touch()
    run_jobs(clips(["a"], tmp_path), functools.partial(make, out=tmp_path), tmp_path, name=name_of, engine=Engine(2))
    assert half.exists() == (deaths == 0)


def test_a_process_that_is_ended_at_its_job_counts_as_dead(tmp_path: Path) -> None:
    pool = Pool(Work(None, str(tmp_path), str(tmp_path)), 2)
    ended: list[str] = []
    for name, row in (("idle", None), ("busy", Row("a", None))):
        pool._workers.append(SimpleNamespace(row=row, kill=functools.partial(ended.append, name)))  # type: ignore[arg-type]
    with pool:
        pass
    assert (ended, pool.deaths) == (["idle", "busy"], 1)


def process_of(clip: Clip) -> int:
    return os.getpid()


@pytest.mark.slow
def test_processes_keep_what_they_have_loaded(tmp_path: Path) -> None:
    engine = Engine(1, time_limit=100.0)
    found = run_jobs(clips(list("abcd"), tmp_path), process_of, tmp_path, name=name_of, engine=engine)
    (one,) = set(found.values())
    assert one != os.getpid()


THREADS = """
import os
{load}
threads = {threads}

def of_main(job: str) -> str:
    import __mp_main__
    return str(__mp_main__.threads)

if __name__ == "__main__":
    from pathlib import Path
    from avsep.jobs.engine import Engine
    from avsep.jobs.run import run_jobs
    found = run_jobs(["a"], of_main, Path("out"), engine=Engine(1, time_limit=300.0))
    print(threads, found["a"], os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS"))
"""


@pytest.mark.parametrize(
    ("load", "threads"),
    [
        ("", 'os.environ.get("OMP_NUM_THREADS")'),
        pytest.param("import torch", "torch.get_num_threads()", marks=pytest.mark.slow),
    ],
    ids=["as libraries read it", "as torch has it"],
)
def test_processes_compute_with_one_thread_whatever_main_loads(tmp_path: Path, load: str, threads: str) -> None:
    (tmp_path / "threads.py").write_text(THREADS.format(load=load, threads=threads))
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent.parent}:{tmp_path}", "OMP_NUM_THREADS": "7"}
    environment.pop("MKL_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-m", "threads"], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300
    )
    assert done.stdout.split()[1:] == ["1", "7", "None"], done.stderr


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("import os\nos._exit(7)", r"3 processes died as they started \(exit code 7\). Raise --memory-limit"),
        ("raise RuntimeError('broken')", "a process cannot work: RuntimeError: broken"),
    ],
)
def test_processes_that_cannot_start_are_one_message(
    tmp_path: Path, module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    work = Work({"call": "deadly:work", "with": {}}, str(tmp_path), str(tmp_path))
    with Pool(work, 1) as pool, pytest.raises(AvsepError, match=message):
        list(pool.outcomes([Row("a", None)]))
