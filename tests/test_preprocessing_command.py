"""preprocessing.command: what the command lines of preprocessing share."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from avsep.errors import InputError, UsageError
from avsep.jobs.engine import Engine
from avsep.jobs.options import add_engine, engine_of
from avsep.jobs.run import run_jobs
from avsep.storage.files import write_whole
from preprocessing.command import add_count, add_seed, command


def work(job: str) -> str:
    """What the name of the job says."""
    if job == "bad":
        raise InputError("the file is\n\tbad")
    if job == "stop":
        raise KeyboardInterrupt
    return job


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
def test_counts_are_1_or_more(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    def configure(parser: argparse.ArgumentParser) -> None:
        add_engine(parser)
        add_count(parser, "--count", "things", 3)

    main = command("doc", "x", configure, lambda options: options.count + engine_of(options).count)
    for option in ("--workers", "--count"):
        with pytest.raises(SystemExit) as stop:
            main([option, number])
        assert stop.value.code == 2
        assert f"{option}: '{number}' is not a number of 1 or more" in capsys.readouterr().err
    assert main([]) == 0


@pytest.mark.parametrize(
    ("given", "engine"),
    [
        ([], Engine(3)),
        (["--workers", "2", "--time-limit", "7.5"], Engine(2, time_limit=7.5)),
        (["--cluster", "ray"], Engine(None, "ray")),
        (["--cluster", "ray", "--workers", "4", "--memory-limit", "2"], Engine(4, "ray", memory_limit=2.0)),
    ],
)
def test_options_of_an_engine(given: list[str], engine: Engine) -> None:
    parser = argparse.ArgumentParser()
    add_engine(parser, 3)
    assert engine_of(parser.parse_args(given)) == engine


@pytest.mark.parametrize("limit", ["0", "-1", "inf", "nan", "x"])
def test_limits_are_above_0(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_engine(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--time-limit", limit])
    assert f"'{limit}' is not a number above 0" in capsys.readouterr().err


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def half(file: Path) -> None:
        file.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "deep" / "a.txt", half)
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.parametrize("seed", ["-1", "one", "0.5"])
def test_a_seed_is_0_or_more(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = command("doc", "x", add_seed, lambda options: options.seed)
    with pytest.raises(SystemExit):
        main(["--seed", seed])
    assert f"'{seed}' is not a number of 0 or more" in capsys.readouterr().err
    assert main(["--seed", "3"]) == 0
