"""A folder of results that appears whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avsep.errors import OutputError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO, errno.ENAMETOOLONG}


@contextmanager
def workspace(target: Path | str, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder beside `target` to write into; it is renamed to `target` when the block succeeds.

    When the block raises, Ctrl-C included, the folder is removed. With `overwrite` an existing target is
    replaced, at the very end. What killed runs left behind for the same target is removed first.
    Raises OutputError when the target exists, cannot be written or the disk is full.
    """
    target = Path(target).absolute()
    check_target(target, overwrite)
    made: list[Path] = []  # the parents that had to be made, the deepest first
    try:
        with _as_output_error(target, everything=True):
            made = [parent for parent in target.parents if not parent.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(target)
            check_target(target, overwrite)  # results that were set aside may be back
            partial, lock = _make_folder(target)
        try:
            with _as_output_error(target):
                yield partial
                partial.chmod(0o777 & ~_umask())
                _move_into_place(partial, target, overwrite)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            os.close(lock)
    except BaseException:
        for parent in made:
            with suppress(OSError):  # not empty: others use it by now
                parent.rmdir()
        raise


def check_target(target: Path | str, overwrite: bool = False) -> None:
    """Raise OutputError when a folder of results cannot be put at `target`; writes nothing."""
    target = Path(target).absolute()
    if target.is_symlink() or target.exists():
        if target.is_symlink() or not target.is_dir():
            raise OutputError(f"{target}: exists and is not a folder. Choose another output folder with -o")
        if not overwrite:
            raise OutputError(
                f"{target}: exists already. Replace it with --overwrite, or choose another folder with -o"
            )
        folders = [entry.name for entry in os.scandir(target) if entry.is_dir(follow_symlinks=False)]
        if folders:
            raise OutputError(
                f"{target}: is not a folder of results, it holds folders ({folders[0]}, ...), so --overwrite does not"
                " replace it. Choose another output folder with -o"
            )
    parent = next(folder for folder in target.parents if folder.exists())
    if not parent.is_dir():
        raise OutputError(f"{target}: cannot be made, {parent} is not a folder. Choose another output folder with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"{target}: cannot be made, no permission to write in {parent}. Choose another folder with -o"
        )


def _prefix(target: Path) -> str:
    """How the hidden folders of a target begin; long names are cut, as a file name has 255 bytes at most."""
    name = target.name
    if len(name.encode()) > 100:
        name = f"{name.encode()[:80].decode(errors='ignore')}-{zlib.crc32(name.encode()):08x}"
    return f".{name}.partial-"


def _make_folder(target: Path) -> tuple[Path, int]:
    """A new hidden folder beside `target` and the lock that marks it as in use while this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
        lock = _lock(folder)
        if lock is not None:
            return folder, lock


def _lock(folder: Path) -> int | None:
    """Lock a folder; None when another process holds it or removed it. The lock ends with the process, however."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.exists():
            return lock
    except BlockingIOError:
        pass
    os.close(lock)
    return None


def _remove_stale(target: Path) -> None:
    """Remove the partial folders of processes that are gone; results such a process had set aside come back."""
    for folder in target.parent.glob(f"{_glob_escape(_prefix(target))}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        lock = _lock(folder)
        if lock is None:
            continue
        try:
            old = folder / "old"
            if old.is_dir() and not target.exists():
                old.rename(target)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _glob_escape(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _move_into_place(partial: Path, target: Path, overwrite: bool) -> None:
    if not overwrite or not target.exists():
        check_target(target)  # it may have appeared since
        partial.rename(target)
        return
    aside, lock = _make_folder(target)
    try:
        target.rename(aside / "old")
        partial.rename(target)
    finally:
        if (aside / "old").exists() and not target.exists():
            (aside / "old").rename(target)
        shutil.rmtree(aside, ignore_errors=True)
        os.close(lock)


@contextmanager
def _as_output_error(target: Path, *, everything: bool = False) -> Iterator[None]:
    """Turn the system's complaints about writing into an OutputError; all of them, or those about this place."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutputError(
                f"{target}: the disk is full ({error.strerror}). Nothing was kept; free some space or choose a folder"
                " on another disk with -o"
            ) from error
        concerns_us = str(error.filename or target.parent).startswith(str(target.parent))
        if everything or (concerns_us and error.errno in _NOT_WRITABLE):
            raise OutputError(
                f"{target}: cannot be written ({error.strerror}). Choose another output folder with -o"
            ) from error
        raise


def _umask() -> int:
    """The process's mask for new files; the system only tells it when it is set."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
