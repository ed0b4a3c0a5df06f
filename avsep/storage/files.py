"""Files that appear whole or not at all, and the paths that a file tells of others."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from avsep.errors import OutputError

_PARTIAL = re.compile(r"\.(\w+)-(\d+)\.partial\..+")

DAY = 86_400
"""Seconds."""


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A hidden name beside a file to write to; it becomes the file when the block succeeds, and is gone else."""
    # The suffix stays: writers choose the format by it.
    partial = partial_name(file, os.getpid())
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


def partial_name(file: Path, process: int) -> Path:
    """Where a process of this machine writes what becomes `file`."""
    return file.with_name(f".{_here()}-{process}.partial.{file.name}")


@functools.cache
def _here() -> str:
    """Where the numbers of processes mean what they mean here: a machine and, of its containers, one."""
    try:
        container = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        container = 0
    return hashlib.sha256(f"{socket.gethostname()} {container}".encode()).hexdigest()[:8]


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder and below: files of processes that are not there.
    Those of other machines, which may be at it, go a day after they were last written to."""
    for place, _, names in os.walk(folder):
        for name in names:
            found = _PARTIAL.fullmatch(name)
            if found is None:
                continue
            file = Path(place, name)
            if not _runs(int(found[2])) if found[1] == _here() else _old(file):
                file.unlink(missing_ok=True)


def _old(file: Path) -> bool:
    with suppress(OSError):
        return time.time() - file.stat().st_mtime > DAY
    return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """A text file in UTF-8, all or nothing. Raises OutputError for the name of a file that is no UTF-8."""
    # Names of files keep their bytes, whatever the locale makes of them.
    data = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start)
        raise OutputError(
            f"{file}: cannot be written, as line {line + 1} would hold a name that is no UTF-8: {lines[line]!a:.200}."
            " Rename that file"
        ) from error
    write_whole(file, lambda partial: partial.write_bytes(data))


def name_in_text(name: str) -> str:
    """The name of a file, as a text in UTF-8 has it, for this process, whose locale may be another."""
    return name if name.isascii() else os.fsdecode(name.encode("utf-8"))


def path_from(folder: Path, file: Path) -> str:
    """`file` as seen from `folder`, for a list that lies there. Where a folder on the way is a link, ".." leads out of
    the folder it points to, so links of both are followed first; `file` itself may be one and keeps its name."""
    return os.path.relpath(file.parent.resolve() / file.name, folder.resolve())
