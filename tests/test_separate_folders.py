"""`avsep separate` over whole folders: what is found, where the results go, what is told, what is not done again."""

from __future__ import annotations

import csv
import functools
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_pipeline import fake_pipeline

from avsep.cli import summary
from avsep.cli.inputs import Input, find_inputs
from avsep.cli.main import build_parser
from avsep.cli.overall import Overall, time_left
from avsep.cli.terminal import Terminal
from avsep.errors import InputError
from avsep.jobs.engine import Engine
from avsep.jobs.options import engine_of
from avsep.jobs.outcome import Outcome, attempt, failed
from avsep.jobs.plain import to_plain
from avsep.results.change import rename_tracks


def sound(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    soundfile.write(path, 0.05 * rng.standard_normal(16000).astype(np.float32), 16000, format="WAV")
    return path


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """talks/a.wav, talks/mon/a.wav, talks/mon/late/c.MP4, and much that is none of the clips."""
    folder = tmp_path / "talks"
    sound(folder / "a.wav", 1)
    sound(folder / "mon" / "a.wav", 2)
    sound(folder / "mon" / "late" / "c.MP4", 3)
    sound(folder / ".hidden" / "x.wav")
    sound(folder / "mon" / "._a.wav")
    (folder / "notes.txt").write_text("notes")
    (folder / "page.ts").write_text("export const page = 1\n")
    (folder / "README").write_text("read me")
    (folder / "mon" / "up").symlink_to("..")
    (folder / "mon" / "round").symlink_to("round")
    result = folder / "b"
    sound(result / "speaker_00.wav")
    (result / "manifest.json").write_text(json.dumps({"format": 1, "avsep_version": "0", "files": ["speaker_00.wav"]}))
    sound(folder / "out" / "earlier.wav")
    return folder


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Puts a pipeline in place that separates nothing but writes every file, in this process whatever the engine;
    returns a function that makes one. `died`: clips that kill their process."""

    def use(on_separate: Callable[[Path], None] = lambda clip: None, died: tuple[str, ...] = ()) -> Any:
        from avsep.cli import separate_many

        fake = fake_pipeline(on_separate)

        class Separator(fake.Separator):
            def separate(self, path, output, options=None, progress=lambda *_: None) -> dict:
                found = super().separate(path, output, options, progress)
                for track in found["tracks"]:
                    for key in ("audio", "video", "thumbnail"):
                        if track[key]:
                            (output / path.stem / track[key]).touch()
                (output / path.stem / "residual.wav").touch()
                return found

        def here(jobs: Any, work: Any, out: Path, *_: object) -> Iterator[Outcome]:
            for name, job in jobs.items():
                if Path(name).name in died:
                    yield failed(name, "its process died 2 times (SIGKILL)")
                else:
                    outcome = attempt(name, functools.partial(work, job), out)
                    yield replace(outcome, result=to_plain(outcome.result))

        fake.Separator = Separator
        monkeypatch.setitem(sys.modules, "avsep.pipeline", fake)
        monkeypatch.setattr(separate_many, "_separator", lambda model, device, threads: Separator(model))
        monkeypatch.setattr("avsep.jobs.run._elsewhere", here)
        return fake

    return use


def separated(module: Any) -> list[str]:
    """Names of the clips that were separated since the last call, each with the folder above."""
    names = [f"{call[0].parent.name}/{call[0].name}" for call in module.calls if isinstance(call[0], Path)]
    module.calls.clear()
    return names


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(found: list[Input], above: Path) -> list[str]:
    return [each.path.relative_to(above).as_posix() for each in found]


# What is found


@pytest.mark.parametrize(
    ("named", "above", "expected"),
    [
        ("talks", "talks", ["a.wav", "mon/a.wav", "mon/late/c.MP4"]),
        ("talks/mon", "talks/mon", ["a.wav", "late/c.MP4"]),
        ("talks/*.wav", "talks", ["a.wav"]),
        ("talks/**/*.wav", "talks", ["a.wav", "mon/a.wav"]),
        ("talks/**", "talks", ["a.wav", "mon/a.wav", "mon/late/c.MP4"]),
        ("talks/m*", "talks", ["mon/a.wav", "mon/late/c.MP4"]),
        ("talks/*/*.[wW]av", "talks", ["mon/a.wav"]),
        ("talks/**/late/?.MP4", "talks", ["mon/late/c.MP4"]),
        ("t*/mon/**/*", ".", ["talks/mon/a.wav", "talks/mon/late/c.MP4"]),
    ],
)
def test_folders_and_patterns(
    talks: Path, monkeypatch: pytest.MonkeyPatch, named: str, above: str, expected: list[str]
) -> None:
    monkeypatch.chdir(talks.parent)
    found = find_inputs([Path(named)], Path("talks/out"), lambda text: None)
    assert found == [Input(Path(above, name), Path(name).parent) for name in expected]


def test_what_is_left_out_is_said(talks: Path) -> None:
    said: list[str] = []
    find_inputs([talks], talks / "out", said.append)
    assert said == [
        f"{talks}: 3 clips; left out: 4 files not called like sound or video (no suffix, .txt, .ts), "
        f"1 folder of results, the output folder {talks / 'out'}, 1 link to folders"
    ]


def test_each_clip_counts_once_and_files_may_be_called_anything(talks: Path) -> None:
    odd = sound(talks.parent / "clip[1].bin")
    found = find_inputs([odd, talks / "mon", talks, talks / "mon" / "a.wav"], talks / "out", lambda text: None)
    assert names(found, talks.parent) == ["clip[1].bin", "talks/mon/a.wav", "talks/mon/late/c.MP4", "talks/a.wav"]
    assert [each.place.as_posix() for each in found] == [".", ".", "late", "."]


def test_a_broken_clip_is_found_and_a_pipe_is_not(tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(b"\0\0")
    (tmp_path / "gone.mp4").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert names(find_inputs([tmp_path], tmp_path / "out", print), tmp_path) == ["cut.mp4", "gone.mp4"]


def test_an_output_that_is_the_folder_itself(tmp_path: Path, cli, pipeline) -> None:
    module = pipeline()
    sound(tmp_path / "talks" / "mon" / "a.wav")
    assert cli("separate", "talks", "-o", "talks")[0] == 0
    assert (tmp_path / "talks" / "mon" / "a" / "manifest.json").is_file()
    assert cli("separate", "talks", "-o", "talks", "--skip-done")[0] == 0
    assert separated(module) == ["mon/a.wav"], "results are no clips"


# Errors


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("empty", "empty: is a folder without clips. Name the files"),
        ("texts", "texts: is a folder without clips, there is only 1 file not called like sound or video (.txt). Name"),
        ("texts/*.mp4", "texts/*.mp4: no clip matches. Name"),
        ("nowhere/*.mp4", "nowhere/*.mp4: nothing matches, as there is no folder nowhere. Check the name"),
    ],
)
def test_nothing_to_separate(cli, tmp_path: Path, pipeline, named: str, message: str) -> None:
    module = pipeline()
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    code, out, err = cli("separate", named)
    assert (code, out) == (1, "")
    assert err.startswith(f"avsep: error: {message}")
    assert len(err.splitlines()) == 1
    clip = sound(tmp_path / "talks" / "a.wav")
    assert cli("separate", named, "talks")[0] == 1
    assert separated(module) == [], "every clip is checked first"
    code, out, _ = cli("separate", named, "talks", "--keep-going")
    assert code == 1
    assert separated(module) == ["talks/a.wav"]
    assert [(row["clip"], row["state"]) for row in rows(tmp_path / "separated")] == [
        (named, "failed"),
        (str(clip.relative_to(tmp_path)), "separated"),
    ]


def test_a_folder_that_cannot_be_read_is_an_input_that_fails(
    cli, talks: Path, pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline()
    scandir = os.scandir

    def refuse(folder: Any) -> Any:
        if not isinstance(folder, int) and Path(folder).name == "late":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    code, _, err = cli("separate", "talks", "-o", "out", "--keep-going")
    assert code == 1
    assert "error: talks/mon/late: cannot be searched (Permission denied). Check its permissions" in err
    assert {row["clip"]: row["state"] for row in rows(Path("out"))} == {
        "talks/a.wav": "separated",
        "talks/mon/a.wav": "separated",
        "talks/mon/late": "failed",
        "talks/out/earlier.wav": "separated",
    }


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("mon/a.flac", "talks/mon/a.flac and talks/mon/a.wav would both write the folder mon/a/"),
        ("mon.wav", "talks/mon/a.wav would write the folder mon/a/, which lies in that of talks/mon.wav"),
    ],
)
def test_folders_that_collide(cli, tmp_path: Path, pipeline, other: str, message: str) -> None:
    module = pipeline()
    sound(tmp_path / "talks" / "mon" / "a.wav")
    sound(tmp_path / "talks" / other)
    code, out, err = cli("separate", "talks")
    assert (code, out, module.calls) == (2, "", [])
    assert message in err


def test_a_summary_of_somebody_else_is_not_replaced(cli, talks: Path, pipeline) -> None:
    module = pipeline()
    out = talks.parent / "results"
    out.mkdir()
    (out / "summary.csv").write_text("year,profit\n")
    code, _, err = cli("separate", "talks/mon", "-o", out)
    assert code == 1
    assert "results/summary.csv: was not written by avsep separate" in err
    assert separated(module) == []
    assert (out / "summary.csv").read_text() == "year,profit\n"
    assert cli("separate", "talks/a.wav", "-o", out)[0] == 0, "one clip has no summary"


# What is told


def test_a_line_a_clip_a_table_and_a_summary(cli, talks: Path, pipeline) -> None:
    def fail(clip: Path) -> None:
        if clip.name == "c.MP4":
            raise InputError(f"{clip}: broke. Mend it")

    pipeline(fail)
    code, out, err = cli("separate", "talks", "-o", "talks/out", "--keep-going")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "(1/3) talks/a.wav -> talks/out/a  (audio-visual, 1 person, 1.0 s in 0.0 s, 1 warning)"
    assert lines[1].startswith("(2/3) talks/mon/a.wav -> talks/out/mon/a  (")
    table = {line.split("  ")[0]: line.split()[-7:] for line in lines if line.split("  ")[0] in ("separated", "all")}
    assert [table[name][0] for name in ("separated", "all")] == ["2", "3"]
    assert lines[-1] == "failed: talks/mon/late/c.MP4: broke. Mend it"
    assert err.splitlines()[1:] == [
        "avsep: error: talks/mon/late/c.MP4: broke. Mend it",
        "avsep: what came of each clip is in talks/out/summary.csv",
    ]
    assert (talks / "out" / "mon" / "a" / "manifest.json").is_file()
    assert not (talks / "out" / "mon" / "late").exists()
    first, _, last = rows(talks / "out")
    assert {**first, "processing_seconds": "", "real_time_factor": ""} == {
        "clip": "talks/a.wav", "folder": "talks/out/a", "state": "separated", "reason": "", "mode": "audio-visual",
        "model": "small-av", "people": "1", "voices": "0", "sounds": "0", "seconds": "1.0", "processing_seconds": "",
        "real_time_factor": "", "warnings": "1",
    }  # fmt: skip
    assert (last["state"], last["reason"], last["folder"]) == ("failed", "talks/mon/late/c.MP4: broke. Mend it", "")


def test_json_stays_a_list_and_verbose_tells_in_full(cli, talks: Path, pipeline) -> None:
    pipeline()
    code, out, err = cli("separate", "talks", "-o", "talks/out", "--json")
    assert code == 0
    assert [found["folder"] for found in json.loads(out)] == [
        f"talks/out/{name}" for name in ("a", "mon/a", "mon/late/c")
    ]
    assert "(3/3) talks/mon/late/c.MP4 -> talks/out/mon/late/c  (" in err
    _, out, _ = cli("separate", "talks", "-o", "talks/out", "--skip-done", "-v")
    assert "      seen 0.0-2.0 s; speaks 0.4-1.0 s; confidence 0.93" in out.splitlines()


def test_a_dry_run_writes_nothing(cli, talks: Path, pipeline) -> None:
    module = pipeline()
    code, out, _ = cli("separate", "talks", "-o", "new", "--dry-run")
    assert code == 0
    assert "(1/4) talks/a.wav -> new/a  (dry run, 1.0 s; small-av)" in out
    assert "planned" in out
    assert not Path("new").exists()
    plans = json.loads(cli("separate", "talks/mon", "-o", "new", "--dry-run", "--json")[1])
    assert [each["plan"]["output"] for each in plans] == ["new/a", "new/late/c"]
    assert separated(module) == []


def test_an_interrupted_run_lists_what_was_done(cli, talks: Path, pipeline) -> None:
    def stop(clip: Path) -> None:
        if clip.parent.name == "mon":
            raise KeyboardInterrupt

    pipeline(stop)
    code, _, err = cli("separate", "talks", "-o", "talks/out")
    assert code == 130
    assert err.endswith("interrupted. Nothing half-written is left\n")
    assert [row["state"] for row in rows(talks / "out")] == ["separated", "not reached", "not reached"]


def test_a_bar_gives_way_to_the_lines(cli, talks: Path, pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    code, out, err = cli("separate", "talks", "-o", "talks/out")
    assert code == 0
    assert "\x1b" not in out
    assert [line.split()[0] for line in out.splitlines()[:3]] == ["(1/3)", "(2/3)", "(3/3)"]
    for part in ("0/3 clips", "2/3 clips", " left", "checking"):
        assert part in err


def test_the_time_left() -> None:
    assert time_left(10.0, 0.0, 100.0) == "-:--:-- left"
    assert time_left(60.0, 20.0, 3620.0) == "3:00:00 left"
    Overall(Terminal()).done(1.0)  # nobody watches


def test_a_name_is_no_formula_and_no_command(tmp_path: Path) -> None:
    hostile = "=cmd|'/c calc'!A1\x1b[2J.wav"
    row = summary.Row(hostile, state="failed", reason=f"{hostile}: broke\nnow")
    summary.write(tmp_path, [row])
    assert [(each["clip"], each["reason"]) for each in rows(tmp_path)] == [(f"./{hostile}", f"./{hostile}: broke\nnow")]
    told = summary.shown([row, summary.Row("a.wav", state="separated", seconds=1.0)])
    assert "\x1b" not in told
    assert "broke\\nnow" in told


# Runs that are started again


def test_what_is_done_is_left_alone(cli, talks: Path, pipeline) -> None:
    module = pipeline()
    once = ("separate", "talks", "-o", "talks/out")
    assert cli(*once)[0] == 0
    assert len(separated(module)) == 3
    assert cli(*once)[0] == 1, "only with --skip-done"
    code, out, _ = cli(*once, "--skip-done")
    assert (code, separated(module)) == (0, [])
    assert out.count("(was there; ") == 3
    assert [row["state"] for row in rows(talks / "out")] == ["was there"] * 3

    rename_tracks(talks / "out" / "a", {"speaker_00": "Ann"})
    os.utime(talks / "mon" / "a.wav")
    sound(talks / "tue" / "d.wav")
    assert cli(*once, "--skip-done")[0] == 0
    assert separated(module) == ["tue/d.wav"], "a name is no other result, nor another date of the same bytes"
    assert cli(*once, "--skip-done", "--jobs", 2)[0] == 0
    assert separated(module) == [], "whatever did it"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda talks: None, ("--speakers", "3"), "was made with other options (speakers: auto then, 3 now)"),
        (
            lambda talks: None,
            ("--model", "audio-2spk"),
            "was made with other options (model: None then, audio-2spk now)",
        ),
        (lambda talks: sound(talks / "a.wav", 9), (), "was made of another file than talks/a.wav is now"),
        (lambda talks: (talks / "out" / "a" / "residual.wav").unlink(), (), "residual.wav is not there any more"),
    ],
)
def test_what_was_done_in_another_way(cli, talks: Path, pipeline, change: Any, options: Any, message: str) -> None:
    module = pipeline()
    assert cli("separate", "talks", "-o", "talks/out")[0] == 0
    separated(module)
    change(talks)
    again = ("separate", "talks", "-o", "talks/out", "--skip-done", *options)
    code, _, err = cli(*again)
    assert code == 1
    assert f"error: talks/out/a: exists already, and {message}. Replace it with --overwrite" in err
    assert separated(module) == []
    assert cli(*again, "--overwrite")[0] == 0
    assert "talks/a.wav" in (done := separated(module))
    assert len(done) == (3 if options else 1), "what is done stays"


def test_weights_and_files_of_the_options_are_compared(cli, tmp_path: Path, weights_file: Path) -> None:
    from avsep.modes.base import Options
    from avsep.output.checksums import checksums

    turns = tmp_path / "turns.rttm"
    turns.write_text("1")
    options = Options(turns=str(turns), enroll={"Ann": str(tmp_path / "missing.wav")})
    before = checksums(options, str(weights_file))
    assert set(before) == {str(turns), str(weights_file)}
    turns.write_text("2")
    after = checksums(options, str(weights_file))
    assert {name for name in before if before[name] != after[name]} == {str(turns)}


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"weights")
    return file


# Several at a time


def test_jobs_and_workers_are_one_option() -> None:
    for name in ("--jobs", "--workers"):
        assert engine_of(build_parser().parse_args(["separate", "talks", name, "4"])) == Engine(4)


@pytest.mark.parametrize(
    ("place", "jobs", "given", "used"),
    [
        ("talks/mon", 2, (), [4, 4]),
        ("talks/mon", 16, (), [4, 4]),  # there are two clips
        ("talks", 2, (), [4, 4, 4]),
        ("talks", 3, (), [2, 2, 2]),
        ("talks/mon", 2, ("--threads", 3), [3, 3]),
    ],
)
def test_the_cores_are_shared_out(
    cli, talks: Path, pipeline, monkeypatch: pytest.MonkeyPatch, place: str, jobs: int, given: Any, used: list[int]
) -> None:
    from avsep.cli import separate_many

    pipeline()
    asked: list[int] = []
    separator = separate_many._separator
    monkeypatch.setattr(separate_many, "cores", lambda: 8)
    monkeypatch.setattr(separate_many, "_separator", lambda *of: asked.append(of[2]) or separator(*of))
    assert cli("separate", place, "-o", "talks/out", "--jobs", jobs, *given)[0] == 0
    assert asked == used


def test_a_clip_that_kills_its_process_costs_that_clip(cli, talks: Path, pipeline) -> None:
    module = pipeline(died=("a.wav",))
    code, _, err = cli("separate", "talks", "-o", "talks/out", "--jobs", 2, "--keep-going")
    assert code == 1
    assert err.count("a.wav: its process died 2 times (SIGKILL)") == 2
    assert separated(module) == ["late/c.MP4"]
    assert [row["state"] for row in rows(talks / "out")] == ["failed", "failed", "separated"]

    module = pipeline()
    code, out, _ = cli("separate", "talks", "-o", "talks/out", "--jobs", 3)
    assert (code, separated(module)) == (0, ["talks/a.wav", "mon/a.wav"]), "other threads are no other result"
    assert out.count("(was there; ") == 1


@pytest.mark.slow
def test_a_folder_in_processes_gives_what_one_process_gives(cli, talks: Path) -> None:
    shutil.rmtree(talks / "mon" / "late")
    (talks / "mon" / "cut.wav").write_bytes((talks / "a.wav").read_bytes()[:20])
    asked = ("--model", "audio-2spk", "--keep-going")
    code, _, err = cli("separate", "talks", "-o", "talks/out", "--jobs", 2, *asked)
    assert code == 1
    assert [row["state"] for row in rows(talks / "out")] == ["separated", "separated", "failed"], err
    two = shutil.copytree(talks / "out", talks.parent / "two")
    shutil.rmtree(talks / "out" / "mon" / "a")
    code, _, err = cli("separate", "talks", "-o", "talks/out", "--skip-done", *asked)
    assert [row["state"] for row in rows(talks / "out")] == ["was there", "separated", "failed"], err
    here, there = (
        {file.name: soundfile.read(file)[0] for file in (folder / "mon" / "a").glob("*.wav")}
        for folder in (talks / "out", two)
    )
    assert "residual.wav" in here
    assert here.keys() == there.keys()
    assert all(np.abs(here[name] - there[name]).max() < 1e-4 for name in here)
