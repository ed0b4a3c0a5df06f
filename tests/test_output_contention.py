"""A folder of results that somebody else writes, or removes, at the same time: one clear error, and nobody's results
are lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from output_factory import write_results

from avsep.errors import OutputError
from avsep.media.encode import WavWriter, write_jpeg
from avsep.output import workspace as module
from avsep.output.workspace import workspace


def at_the_last_check(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let another run act between the last look at the target and the renaming."""
    check, calls = module.check_target, []

    def checked(*arguments: object, **settings: object) -> None:
        check(*arguments, **settings)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 3:
            act()

    monkeypatch.setattr(module, "check_target", checked)


def write(target: Path, overwrite: bool = False) -> None:
    with workspace(target, overwrite) as folder:
        write_results(folder)


def test_two_runs_that_write_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "clip"

    def other() -> None:
        target.mkdir()
        (target / "theirs.txt").write_text("theirs")

    at_the_last_check(monkeypatch, other)
    with pytest.raises(OutputError, match="was written by another run"):
        write(target)
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
    assert (target / "theirs.txt").read_text() == "theirs"


def test_two_runs_that_replace_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "clip"
    write(target)
    at_the_last_check(monkeypatch, lambda: target.rename(tmp_path / "away"))
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path == target or exists(path))
    with pytest.raises(OutputError, match="was written by another run"):
        write(target, overwrite=True)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["away"]


@pytest.mark.parametrize("removed", ["parent", "partial"])
def test_the_folder_is_removed_while_it_is_written(tmp_path: Path, removed: str) -> None:
    def run() -> None:
        with workspace(tmp_path / "out" / "clip") as folder:
            (folder / "a.txt").write_text("a")
            shutil.rmtree(folder if removed == "partial" else folder.parent)
            (folder / "b.txt").write_text("b")

    with pytest.raises(OutputError, match="was removed while results were written"):
        run()
    assert not list(tmp_path.iterdir())


def test_the_folder_is_removed_after_the_last_file(tmp_path: Path) -> None:
    def run() -> None:
        with workspace(tmp_path / "out" / "clip") as folder:
            shutil.rmtree(folder.parent)

    with pytest.raises(OutputError, match="was removed while results were written"):
        run()


def test_writers_of_a_folder_that_is_gone(tmp_path: Path) -> None:
    import numpy as np

    with pytest.raises(OutputError, match="cannot be written"):
        WavWriter(tmp_path / "gone" / "a.wav", 16_000, 1)
    with pytest.raises(OutputError, match="cannot be written"):
        write_jpeg(tmp_path / "gone" / "a.jpg", np.zeros((16, 16, 3), np.uint8))
