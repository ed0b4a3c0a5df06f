"""`avsep separate` over many clips with workers: the same results, what is finished is left alone, faults are named."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from avsep.errors import UsageError
from avsep.jobs.outcome import Outcome, attempt
from avsep.jobs.plain import to_plain
from avsep.storage.documents import read_json

TWO = ("--workers", "2", "--model", "audio-2spk")


def sound(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    soundfile.write(path, 0.05 * rng.standard_normal(16000).astype(np.float32), 16000)
    return path


def results(folder: Path) -> dict[str, list[float]]:
    """Samples by the names of the files, whose bytes tell when they were written."""
    return {str(file.relative_to(folder)): soundfile.read(file)[0].tolist() for file in folder.rglob("*.wav")}


@pytest.mark.slow
def test_many_clips_give_the_same_and_are_not_separated_twice(cli, tmp_path: Path) -> None:
    clips = [sound(tmp_path / f"{name}.wav", seed) for seed, name in enumerate("abc")]
    broken = tmp_path / "d.wav"
    broken.write_bytes(clips[0].read_bytes()[:60])
    assert cli("separate", *clips, "-o", "one", "--model", "audio-2spk", "--threads", 1)[0] == 0

    code, out, err = cli("separate", *clips[:2], "-o", "two", *TWO, "--json")
    assert code == 0, err
    first: list[dict[str, Any]] = json.loads(out)
    assert [found["input"]["path"] for found in first] == [str(clip) for clip in clips[:2]]
    assert first[0]["folder"] == "two/a"
    stamp = (tmp_path / "two" / "a" / "manifest.json").stat().st_mtime_ns

    code, out, err = cli("separate", *clips, "-o", "two", *TWO)
    assert code == 0, err
    assert out.count("(was there; ") == 2
    assert [line.split(" -> ")[1].split()[0] for line in out.splitlines() if " -> " in line] == [
        "two/a",
        "two/b",
        "two/c",
    ]
    assert (tmp_path / "two" / "a" / "manifest.json").stat().st_mtime_ns == stamp
    assert results(tmp_path / "two") == results(tmp_path / "one")

    code, _, err = cli("separate", *clips, "-o", "two", *TWO, "--speakers", 3)
    assert code == 1
    assert "two/a: exists already" in err, "other options are other results"

    limits = ("--workers", "1", "--time-limit", "0.01", "--keep-going")
    code, out, err = cli("separate", clips[0], broken, "-o", "late", *limits, "--json")
    assert code == 1
    late, wrong = json.loads(out)
    assert late["error"] == f"{clips[0]}: takes more than 0.01 s (--time-limit)"
    assert str(broken) in wrong["error"]
    assert err.count(f"{clips[0]}: takes more than 0.01 s") == 1
    assert [file.name for file in (tmp_path / "late").iterdir()] == ["jobs.jsonl"], "half a result was left"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing is really separated, and workers are this process. Returns the module that stands for the pipeline."""
    from fake_pipeline import fake_pipeline

    from avsep.cli import separate_many

    def here(jobs: Any, work: Any, out: Path, *_: object) -> Iterator[Outcome]:
        for name, job in jobs.items():
            outcome = attempt(name, functools.partial(work, job), out)
            yield replace(outcome, result=to_plain(outcome.result))

    fake = fake_pipeline()
    separate = fake.Separator.separate
    monkeypatch.setattr(
        fake.Separator, "separate", lambda *given: separate(*given[:4], given[4] if len(given) > 4 else print)
    )
    monkeypatch.setattr(separate_many, "_separator", lambda *_: fake.Separator())
    monkeypatch.setitem(sys.modules, "avsep.pipeline", fake)
    monkeypatch.setattr("avsep.jobs.run._elsewhere", here)
    return fake


def test_results_that_somebody_replaced_are_not_shown_as_those_of_this_run(cli, tmp_path: Path, quick: Any) -> None:
    clip = sound(tmp_path / "a.wav", 0)
    assert cli("separate", clip, "-o", "out", "--workers", 2)[0] == 0
    assert "a.wav: was there" in cli("separate", clip, "-o", "out", "--workers", 2)[2]
    assert cli("separate", clip, "-o", "out", "--overwrite", "--speakers", 3)[0] == 0
    code, out, err = cli("separate", clip, "-o", "out", "--workers", 2)
    assert (code, out) == (1, "")
    assert "out/a: exists already" in err
    code, _, err = cli("separate", clip, "-o", "out", "--workers", 2, "--overwrite")
    assert code == 0
    assert "was there" not in err


def test_a_manifest_that_is_gone_harms_no_other_clip(cli, tmp_path: Path, quick: Any) -> None:
    clips = [sound(tmp_path / f"{name}.wav", 0) for name in "ab"]
    many = ("separate", *clips, "-o", "out", "--workers", 2, "--keep-going")
    assert cli(*many)[0] == 0
    (tmp_path / "out" / "a" / "manifest.json").unlink()
    code, out, err = cli(*many)
    assert code == 1
    assert "out/a: exists already" in err
    assert f"{clips[1]} -> out/b  (was there; " in out


def test_a_manifest_that_goes_while_it_is_read_is_one_line(
    cli, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [sound(tmp_path / f"{name}.wav", 0) for name in "ab"]

    def gone(path: Path) -> Any:
        if path.parent.name == "a":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read_json(path)

    monkeypatch.setattr("avsep.cli.separate_many.read_json", gone)
    code, out, err = cli("separate", *clips, "-o", "out", "--workers", 2, "--keep-going")
    assert code == 1
    assert "error: out/a/manifest.json: cannot be read" in err
    assert "out/b" in out


@pytest.mark.parametrize(("workers", "keep_going", "code"), [((), False, 2), (("--workers", "2"), False, 2),
                                                             ((), True, 1), (("--workers", "2"), True, 1)])  # fmt: skip
def test_wrong_usage_is_wrong_usage_in_workers_too(
    cli, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch, workers: Any, keep_going: bool, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise UsageError("not so")

    monkeypatch.setattr(quick.Separator, "separate", refuse)
    clip = sound(tmp_path / "a.wav", 0)
    got, _, err = cli("separate", clip, "-o", "out", *workers, *(("--keep-going",) if keep_going else ()))
    assert (got, err) == (code, "avsep: error: not so\n")


def test_workers_are_told_of_the_people_library(cli, tmp_path: Path, quick: Any) -> None:
    """Results depend on the library. What --learn adds to it does not make them old."""
    library = tmp_path / "lib" / "library.json"
    library.parent.mkdir()
    library.write_text("1")
    clip = sound(tmp_path / "a.wav", 0)
    for out, options in (("named", ("--people", "lib")), ("learnt", ("--people", "lib", "--learn"))):
        given = ("separate", clip, "-o", out, "--workers", 2, *options)
        assert cli(*given)[0] == 0
        asked = quick.calls[-1][2]
        assert (asked.people, asked.learn) == ("lib", out == "learnt")
        assert "a.wav: was there" in cli(*given)[2]
        library.write_text(library.read_text() + "1")
        assert ("a.wav: was there" in cli(*given)[2]) == (out == "learnt")


def test_one_clip_and_the_defaults_start_no_process(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fake_pipeline import fake_pipeline

    monkeypatch.setitem(__import__("sys").modules, "avsep.pipeline", fake_pipeline())
    monkeypatch.setattr("avsep.jobs.worker.Worker.__init__", lambda *_: pytest.fail("a process was started"))
    clips = [sound(tmp_path / f"{name}.wav", 0) for name in "ab"]
    assert cli("separate", clips[0], "-o", "one")[0] == 0
    assert cli("separate", *clips, "-o", "two")[0] == 0
    assert not list(tmp_path.rglob("jobs.jsonl"))


def test_without_ray_the_extra_is_named(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    clips = [sound(tmp_path / f"{name}.wav", 0) for name in "ab"]
    code, _, err = cli("separate", *clips, "--cluster", "ray")
    assert code == 2
    assert err == "avsep: error: --cluster ray needs Ray: pip install 'avsep[cluster]'\n"
    assert not (tmp_path / "separated").exists()


def test_an_unknown_model_is_told_before_any_process(cli, tmp_path: Path) -> None:
    clip = sound(tmp_path / "a.wav", 0)
    code, _, err = cli("separate", clip, "--workers", 2, "--model", "none")
    assert code == 1
    assert "unknown model 'none'" in err
