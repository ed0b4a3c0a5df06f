"""Files that appear whole or not at all, and the paths that a file tells of others."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PARTIAL = re.compile(r"\.(\d+)\.partial\..+")


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A hidden name beside a file to write to; it becomes the file when the block succeeds, and is gone else."""
    # The suffix stays: writers choose the format by it.
    partial = file.with_name(f".{os.getpid()}.partial.{file.name}")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file, and make the folder it lies in: all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as partial:
        write(partial)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder and below: files of processes that are not there."""
    for place, _, names in os.walk(folder):
        for name in names:
            found = _PARTIAL.fullmatch(name)
            if found and not _runs(int(found[1])):
                Path(place, name).unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """A text file, all or nothing."""
    write_whole(file, lambda partial: partial.write_text("\n".join(lines) + "\n", encoding="utf-8"))


def path_from(folder: Path, file: Path) -> str:
    """`file` as seen from `folder`, for a list that lies there. Where a folder on the way is a link, ".." leads out of
    the folder it points to, so links of both are followed first; `file` itself may be one and keeps its name."""
    return os.path.relpath(file.parent.resolve() / file.name, folder.resolve())
