"""Folders of results appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from output_factory import write_results

from avsep.errors import OutputError, UsageError
from avsep.output.workspace import check_target, result_folder, workspace


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_results_appear_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "clip"
    with workspace(target, overwrite=False) as folder:
        assert folder.parent == target.parent
        assert folder.name.startswith(".clip.partial-")
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert names(target.parent) == ["clip"]
    assert (target / "a.txt").read_text() == "a"
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~mask


def fail_inside(target: Path, error: BaseException) -> None:
    with workspace(target, overwrite=False) as folder:
        (folder / "a.txt").write_text("a")
        raise error


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_nothing_is_left_of_a_failure(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail_inside(tmp_path / "new" / "folders" / "clip", error)
    assert names(tmp_path) == []


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "clip"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(OutputError, match=r"clip: exists already.*--overwrite"), workspace(target, overwrite=False):
        pytest.fail("the block ran")
    assert names(tmp_path) == ["clip"]
    assert names(target) == ["old.txt"]


def test_overwriting_replaces_at_the_very_end(tmp_path: Path) -> None:
    target = tmp_path / "clip"
    write_results(target, "old.wav")
    with workspace(target, overwrite=True) as folder:
        write_results(folder, "new.wav")
        assert names(target) == ["manifest.json", "old.wav"]
    assert names(target) == ["manifest.json", "new.wav"]
    with pytest.raises(ValueError, match="no"), workspace(target, overwrite=True):
        raise ValueError("no")
    assert names(target) == ["manifest.json", "new.wav"]
    assert names(tmp_path) == ["clip"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "clip").write_text("a file")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not a folder"):
            check_target(tmp_path / "clip", overwrite)
    with pytest.raises(OutputError, match="is not a folder"):
        check_target(tmp_path / "clip" / "below")
    with (
        pytest.raises(OutputError, match="is not a folder"),
        workspace(tmp_path / "clip" / "below" / "b", overwrite=False),
    ):
        pytest.fail("the block ran")
    assert (tmp_path / "clip").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission"):
        check_target(tmp_path / "locked" / "clip")


def test_a_read_only_place() -> None:
    with (
        pytest.raises(OutputError, match=r"/proc/nothing/clip: cannot be (made|written)"),
        workspace("/proc/nothing/clip", overwrite=False),
    ):
        pytest.fail("the block ran")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(tmp_path: Path, number: int) -> None:
    with pytest.raises(OutputError, match="disk is full"):
        fail_inside(tmp_path / "clip", OSError(number, os.strerror(number), str(tmp_path / "b.txt")))
    assert names(tmp_path) == []


def test_other_system_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), workspace(tmp_path / "clip", overwrite=False):
        (tmp_path / "elsewhere.txt").read_text()
    assert names(tmp_path) == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN_FOREVER, str(tmp_path / "clip")], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    left = Path(run.stdout.readline().strip())
    assert left.exists()
    with workspace(tmp_path / "clip", overwrite=False):
        assert left.exists(), "a folder in use was removed"
    run.send_signal(signal.SIGKILL)
    run.wait()
    with workspace(tmp_path / "clips", overwrite=False):
        assert left.exists(), "another target's folder was removed"
    with workspace(tmp_path / "clip", overwrite=True):
        assert not left.exists()
    assert names(tmp_path) == ["clip", "clips"]


_RUN_FOREVER = """
import sys, time
from avsep.output.workspace import workspace
with workspace(sys.argv[1], False) as folder:
    (folder / "half.txt").write_text("half")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_results_set_aside_by_a_killed_run_come_back(tmp_path: Path) -> None:
    aside = tmp_path / ".clip.partial-dead" / "old"
    aside.mkdir(parents=True)
    (aside / "old.txt").write_text("old")
    with pytest.raises(OutputError, match="exists already"), workspace(tmp_path / "clip", overwrite=False):
        pytest.fail("the block ran")
    assert names(tmp_path) == ["clip"]
    assert names(tmp_path / "clip") == ["old.txt"]


@pytest.mark.parametrize("name", ["take [1]", "ein Ü", "a*b?", "x" * 180, "ü" * 120, "caf\udce9"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    with workspace(tmp_path / name, overwrite=False) as folder:
        write_results(folder, "a.wav")
    with workspace(tmp_path / name, overwrite=True) as folder:
        write_results(folder, "b.wav")
    assert names(tmp_path) == [name]
    assert names(tmp_path / name) == ["b.wav", "manifest.json"]


@pytest.mark.parametrize(
    ("clip", "name"), [("a/talk.mp4", "talk"), ("talk", "talk"), (".talk.mp4", ".talk"), (".mp4", ".mp4")]
)
def test_results_are_named_like_the_clip(clip: str, name: str) -> None:
    assert result_folder("out", clip) == Path("out") / name


@pytest.mark.parametrize("clip", ["..mp4", "...mp4", "a/..mp4", ".", ".."])
def test_a_name_that_is_no_folder(clip: str) -> None:
    with pytest.raises(UsageError, match=r"which names no folder. Rename the clip"):
        result_folder("out", clip)
