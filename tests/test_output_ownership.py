"""--overwrite replaces what avsep wrote and nothing else, whatever happens in the middle."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from output_factory import write_results

from avsep.errors import OutputError
from avsep.inference.models import ModelStore
from avsep.modes.base import Scene
from avsep.output import manifest
from avsep.output.ownership import EVALUATION, SEPARATION, Kind, foreign_files, own_files
from avsep.output.workspace import check_target, folders_of, workspace

HEAD = {"format": 1, "avsep_version": "0.1.0"}
SPEAKER = {"id": "speaker_00", "audio": "speaker_00.wav", "video": "speaker_00.mp4", "thumbnail": "speaker_00.jpg"}
FOREIGN = ("notes.txt", ".hidden", "speaker_00 (copy).wav")


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, or link, by its path from there: its text, or what it points to."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_symlink() or p.is_file())
    return {str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_text() for p in files}


def write_foreign(folder: Path) -> dict[str, str]:
    """What a user may put beside results, a folder and a link included."""
    for name in FOREIGN:
        (folder / name).write_text(f"mine: {name}")
    (folder / "drafts").mkdir()
    (folder / "drafts" / "one.txt").write_text("first")
    (folder / "link").symlink_to("notes.txt")
    return {name: text for name, text in contents(folder).items() if text.startswith(("mine", "first", "notes.txt"))}


# What proves that files are avsep's


@pytest.mark.parametrize(
    ("kind", "name", "document", "own"),
    [
        (SEPARATION, "manifest.json", {"files": ["a.wav", "b.flac"]}, {"a.wav", "b.flac"}),
        (
            SEPARATION,
            "manifest.json",
            {"speakers": [SPEAKER, {"id": "speaker_01", "audio": "b.wav", "video": None}], "residual": "residual.wav"},
            {"speaker_00.wav", "speaker_00.mp4", "speaker_00.jpg", "b.wav", "residual.wav"},
        ),
        (SEPARATION, "manifest.json", {"tracks": [{"audio": "a.wav"}, "odd"]}, {"a.wav"}),
        (SEPARATION, "people.json", {"people": [{"thumbnail": "speaker_00.jpg"}]}, {"speaker_00.jpg"}),
        (EVALUATION, "summary.json", {"files": ["results.csv", "summary.json"]}, {"results.csv"}),
    ],
)
def test_a_manifest_names_its_files(tmp_path: Path, kind: Kind, name: str, document: dict[str, Any], own: set) -> None:
    (tmp_path / name).write_text(json.dumps(HEAD | document))
    for file in (*own, "notes.txt"):
        (tmp_path / file).touch()
    assert own_files(tmp_path, kind) == own | {name}
    assert foreign_files(tmp_path, kind) == ["notes.txt"]
    check_target(tmp_path, overwrite=True, kind=kind)


def test_what_avsep_writes_proves_itself(tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_text("a clip")
    audio = SimpleNamespace(sample_rate=16000, channels=1, stream=0)
    clip = SimpleNamespace(
        path=tmp_path / "talk.mp4", audio=audio, video=None, start_seconds=0.0, duration_seconds=2.0, file_state=None
    )
    (tmp_path / "talk").mkdir()
    manifest.write(tmp_path / "talk" / "people.json", manifest.people(Scene(clip, [], ModelStore()), thumbnails=True))
    assert own_files(tmp_path / "talk") == {"people.json"}


BROWSER_EXTENSION = {"manifest_version": 3, "name": "Dark mode", "version": "1.0", "files": ["notes.txt"]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(BROWSER_EXTENSION),
        json.dumps(HEAD | {"format": "1", "files": ["notes.txt"]}),
        json.dumps({"format": 1, "files": ["notes.txt"]}),
        json.dumps(HEAD | {"speakers": 2}),
        json.dumps([HEAD]),
        "not JSON",
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_name_alone_proves_nothing(tmp_path: Path, text: str) -> None:
    target = tmp_path / "talk"
    target.mkdir()
    (target / "manifest.json").write_text(text, errors="surrogateescape")
    (target / "notes.txt").write_text("years of work")
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    message = r"talk: was not written by avsep .*no manifest.json or people.json that says so.*leaves it alone"
    with pytest.raises(OutputError, match=message), workspace(target, overwrite=True):
        pytest.fail("the block ran")
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before


def test_results_of_another_command_are_foreign(tmp_path: Path) -> None:
    write_results(tmp_path / "talk", "speaker_00.wav")
    with pytest.raises(OutputError, match=r"not written by avsep evaluate \(it has no summary.json that says so"):
        check_target(tmp_path / "talk", overwrite=True, kind=EVALUATION)


def test_a_manifest_cannot_name_what_lies_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    target = tmp_path / "talk"
    write_results(target)
    (target / "folder").mkdir()
    names = ["../thesis.tex", str(tmp_path / "thesis.tex"), "folder", ".", "..", "", "x" * 300, "a\0b", 3, None]
    (target / "manifest.json").write_text(json.dumps(HEAD | {"files": names, "residual": "../thesis.tex"}))
    assert own_files(target) == {"manifest.json"}
    with workspace(target, overwrite=True) as folder:
        write_results(folder)
    assert contents(tmp_path).keys() == {"thesis.tex", "talk/manifest.json"}
    assert (target / "folder").is_dir()


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "talk").mkdir()
    with workspace(tmp_path / "talk", overwrite=True) as folder:
        write_results(folder)
    assert contents(tmp_path / "talk").keys() == {"manifest.json"}


# What is not avsep's stays


def test_foreign_files_are_kept_and_told(tmp_path: Path) -> None:
    target = tmp_path / "talk"
    write_results(target, "speaker_00.wav", "speaker_01.wav")
    mine = write_foreign(target)
    told: list[str] = []
    with workspace(target, overwrite=True, say=told.append) as folder:
        write_results(folder, "speaker_00.wav")
        (target / "late.txt").write_text("written meanwhile")
    assert contents(target) == mine | {
        "speaker_00.wav": "speaker_00.wav",
        "manifest.json": (target / "manifest.json").read_text(),
        "late.txt": "written meanwhile",
    }
    assert [p.name for p in tmp_path.iterdir()] == ["talk"]
    assert told == [
        f"{target}: keeps what avsep did not write: .hidden, drafts, link, notes.txt, speaker_00 (copy).wav"
    ]


def test_many_foreign_files_make_one_line(tmp_path: Path) -> None:
    write_results(tmp_path / "talk")
    for number in range(9):
        (tmp_path / "talk" / f"{number}.txt").touch()
    told: list[str] = []
    with workspace(tmp_path / "talk", overwrite=True, say=told.append):
        pass
    assert told[0].endswith("0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more")


@pytest.mark.parametrize("name", ["speaker_02.wav", "residual.wav", "manifest.json"])
def test_a_foreign_file_with_the_name_of_a_result_is_refused_at_once(tmp_path: Path, name: str) -> None:
    target = tmp_path / "talk"
    write_results(target, "speaker_00.jpg", manifest="people.json")
    (target / name).write_text("mine")
    before = contents(target)
    message = rf"talk: holds {name}, which avsep did not write and new results would replace. Move it away"
    with pytest.raises(OutputError, match=message), workspace(target, overwrite=True):
        pytest.fail("the block ran")
    assert contents(target) == before


def test_a_clash_that_shows_at_the_end_loses_nothing(tmp_path: Path) -> None:
    target = tmp_path / "talk"
    write_results(target, "a.wav")
    write_foreign(target)
    (target / "vocals.wav").write_text("mine")
    before = contents(target)
    with (
        pytest.raises(OutputError, match=r"holds vocals.wav, which avsep"),
        workspace(target, overwrite=True) as folder,
    ):
        write_results(folder, "vocals.wav")
    assert contents(target) == before
    assert [p.name for p in tmp_path.iterdir()] == ["talk"]


# What is read stays


@pytest.mark.parametrize("how", ["file", "result", "below", "link", "link to it", "folder"])
def test_an_input_in_the_folder_is_refused(tmp_path: Path, how: str) -> None:
    target = tmp_path / "talk"
    write_results(target, "speaker_00.wav")
    (target / "below").mkdir()
    (target / "talk.mp4").write_text("a clip")
    (target / "below" / "talk.mp4").write_text("a clip")
    (tmp_path / "elsewhere.mp4").write_text("a clip")
    (target / "link.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    (tmp_path / "link.mp4").symlink_to(target / "talk.mp4")
    clip = {
        "file": target / "talk.mp4",
        "result": target / "speaker_00.wav",
        "below": target / "below" / "talk.mp4",
        "link": target / "link.mp4",
        "link to it": tmp_path / "link.mp4",
        "folder": target,
    }[how]
    before = contents(tmp_path)
    message = rf"talk: would be replaced, but the input {clip} lies in it"
    with pytest.raises(OutputError, match=message), workspace(target, overwrite=True, inputs=[clip]):
        pytest.fail("the block ran")
    assert contents(tmp_path) == before


def test_inputs_beside_the_folder_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "talk"
    write_results(target)
    (tmp_path / "talk.mp4").touch()
    monkeypatch.chdir(target)
    # The last is the name of a bundled model, no file.
    check_target(target, overwrite=True, inputs=folders_of([tmp_path / "talk.mp4", tmp_path, "audio-2spk"]))


# Whatever happens in the middle

CALLS = ("rename", "unlink", "rmdir")
"""Of the system, that an exchange makes."""


def failing(monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> list[str]:
    """Let the `at`-th of these calls raise; returns the calls made, by name, as they come."""
    made: list[str] = []
    for name in CALLS:

        def call(name: str, real: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
            made.append(name)
            if len(made) == at:
                raise error
            return real(*arguments, **more)

        monkeypatch.setattr(os, name, functools.partial(call, name, getattr(os, name)))
    return made


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_an_exchange_that_fails_is_undone(tmp_path: Path, error: BaseException) -> None:
    for at in range(1, 100):
        target = tmp_path / str(at) / "talk"
        write_results(target, "speaker_00.wav", "speaker_01.wav")
        mine = write_foreign(target)
        before = contents(target)
        with pytest.MonkeyPatch.context() as patch:
            made = failing(patch, at, error)
            try:
                with workspace(target, overwrite=True) as folder:
                    write_results(folder, "speaker_00.wav")
            except (OutputError, KeyboardInterrupt):
                pass
        now = contents(target)
        if made[:at] == ["rename"] * at:
            assert now == before
            assert [p.name for p in target.parent.iterdir()] == ["talk"]
        else:  # the new results are there, some of the old may be left beside them
            assert now.keys() == {*mine, "speaker_00.wav", "manifest.json"}
            assert mine.items() <= now.items()
        if len(made) < at:
            break
    assert at > 10


KILLED = """
import os, sys
from avsep.output.workspace import workspace
sys.path.insert(0, sys.argv[3])
from output_factory import write_results
left = int(sys.argv[2])
def dying(real):
    def call(*arguments, **more):
        global left
        left -= 1
        if not left:
            os._exit(9)
        return real(*arguments, **more)
    return call
with workspace(sys.argv[1], overwrite=True) as folder:
    write_results(folder, "speaker_00.wav")
    for name in ("rename", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))
"""


def test_nothing_foreign_is_lost_when_killed(tmp_path: Path) -> None:
    for at in range(1, 100):
        target = tmp_path / str(at) / "talk"
        write_results(target, "speaker_00.wav", "speaker_01.wav")
        mine = write_foreign(target)
        code = subprocess.run([sys.executable, "-c", KILLED, target, str(at), Path(__file__).parent]).returncode
        found = {Path(name).name: text for name, text in contents(target.parent).items()}
        assert {Path(name).name for name in mine} <= found.keys()
        with workspace(target, overwrite=True) as folder:
            write_results(folder, "speaker_00.wav")
        now = contents(target)
        assert now.keys() == {*mine, "speaker_00.wav", "manifest.json"}
        assert mine.items() <= now.items()
        assert [p.name for p in target.parent.iterdir()] == ["talk"]
        if code == 0:
            break
        assert code == 9
    assert at > 10


def test_what_a_killed_run_set_aside_is_never_removed_for_a_newer_file(tmp_path: Path) -> None:
    target, old = tmp_path / "talk", tmp_path / ".talk.partial-dead0000" / "old"
    write_results(target, "speaker_00.wav")
    write_results(old, "speaker_00.wav")
    for folder, text in ((target, "new"), (old, "old")):
        (folder / "notes.txt").write_text(text)
    (old / "other.txt").write_text("other")
    told: list[str] = []
    with workspace(target, overwrite=True, say=told.append) as folder:
        write_results(folder, "speaker_00.wav")
    assert (target / "notes.txt").read_text() == "new"
    assert (target / "other.txt").read_text() == "other"
    assert (old / "notes.txt").read_text() == "old"
    assert told[0] == f"{old}: holds notes.txt of an interrupted run, but {target} has them, too. Move or remove them"
