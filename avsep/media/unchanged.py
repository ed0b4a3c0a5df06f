"""Whether a file is the same from the first look at it to the last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.errors import AvsepError, InputError

if TYPE_CHECKING:
    from avsep.media.probe import ClipInfo


@dataclass(frozen=True)
class FileState:
    """What changes when a file is written to or replaced."""

    size: int
    modified_ns: int
    inode: int

    @staticmethod
    def of(path: Path) -> FileState:
        found = path.stat()
        return FileState(found.st_size, found.st_mtime_ns, found.st_ino)


@contextmanager
def unchanged(clip: ClipInfo) -> Iterator[str]:
    """The SHA-256 of a clip's file, for the time in which the file is read.

    Raises InputError if the file is not the one that was probed: at once, or at the end, also in place of what that led
    to.
    """
    checksum = sha256(clip.path)
    _check(clip, None)
    try:
        yield checksum
    except AvsepError as error:
        if isinstance(error, InputError):
            _check(clip, checksum)
        raise
    except Exception:
        _check(clip, checksum)
        raise
    _check(clip, checksum)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(clip: ClipInfo, checksum: str | None) -> None:
    """Raise InputError if the file is another than when it was probed; one that was only touched is the same."""
    try:
        same = clip.file_state in (None, FileState.of(clip.path)) or sha256(clip.path) == checksum
    except OSError:
        same = False
    if not same:
        raise InputError(
            f"{clip.path}: was changed or replaced while it was read, so the results would not belong together."
            " Nothing was written; run it again when the file is complete"
        )
