"""The last change of a result by hand, taken back: to the byte what it was before."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from avsep.errors import OutputError, UsageError
from avsep.output.ownership import own_files
from avsep.output.workspace import workspace
from avsep.results.change import locked
from avsep.results.edit import take_over
from avsep.results.result import MANIFEST, read_result

_State = tuple[int, int, int]


class Before:
    """A result as it is now, to be put back after one change of `avsep.results.edit`.

    What the change replaces stays open, as files without a name: no copy is made, and the disk has their room again
    when they are closed or the process ends. Raises OSError where a file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.names: set[str] = set()
        self._open: dict[str, int] = {}
        self._after: _State | None = None
        try:
            with locked(self.folder):
                self._changes = _changes(self.folder)
                self.names = own_files(self.folder)
                for name in self.names:
                    self._open[name] = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for name in list(self._open):
            os.close(self._open.pop(name))

    def changed(self) -> bool:
        """To be called when the change is made; whether it can be undone: nobody else made another one meanwhile."""
        after = _state(self.folder / MANIFEST)
        if _changes(self.folder)[:-1] != self._changes:
            return False
        self._after = after
        for name in list(self._open):
            if _state(self.folder / name) == _state(self._open[name]):
                os.close(self._open.pop(name))
        return True

    def put_back(self) -> None:
        """Raises UsageError where the result was changed since, and OutputError; then nothing is changed."""
        try:
            with locked(self.folder), workspace(self.folder, overwrite=True) as partial:
                if self._after is None or _state(self.folder / MANIFEST) != self._after:
                    raise UsageError("the change cannot be undone any more: the result was changed since")
                for name in self.names:
                    if name in self._open:
                        _copy(self._open[name], partial / name)
                    else:
                        take_over(self.folder / name, partial / name)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be changed ({error.strerror}). Nothing was changed") from error


def _changes(folder: Path) -> list[object]:
    return list(read_result(folder).manifest.get("changes") or [])


def _state(file: Path | int) -> _State | None:
    """What another file or a later state of it does not have; None where there is no file."""
    try:
        found = os.fstat(file) if isinstance(file, int) else os.lstat(file)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _copy(descriptor: int, target: Path) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(os.dup(descriptor), "rb") as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        os.fchmod(copy.fileno(), stat.S_IMODE(os.fstat(descriptor).st_mode))
