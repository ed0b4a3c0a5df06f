"""New results take the place of old ones, and what avsep did not write stays: whenever this is killed.

Everything happens in hidden folders beside the results, `.NAME.partial-XXXXXXXX`. New results are written into one; old
ones are set aside as `old` in another, new ones take their name, then what is not avsep's moves from `old` to them, and
only then the rest of `old` is removed, its manifest last. At every moment `old` tells what is whose.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from avsep.output.ownership import Kind, foreign_files, own_files


def hidden_folder(target: Path) -> tuple[Path, int]:
    """A new hidden folder beside `target` and the lock that marks it as in use while this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
        lock = _lock(folder)
        if lock is not None:
            return folder, lock


def exchange(partial: Path, target: Path, foreign: Sequence[str], kind: Kind) -> None:
    """Put `partial` in the place of `target`, whose `foreign` files it takes over. All or nothing."""
    aside, lock = hidden_folder(target)
    old = aside / "old"
    try:
        try:
            target.rename(old)
            partial.rename(target)
            for name in foreign:
                (old / name).rename(target / name)
        except BaseException:
            _undo(old, target, partial, foreign)
            raise
        _remove_own(old, kind)
    finally:
        with suppress(OSError):  # not empty: the next run settles it
            aside.rmdir()
        os.close(lock)


def is_exchanged(target: Path) -> bool:
    """Whether there is nothing at `target` for now, as its old results are set aside and the new ones not yet there."""
    return not target.exists() and any(target.parent.glob(f"{glob.escape(_prefix(target))}*/old"))


def _undo(old: Path, target: Path, partial: Path, foreign: Sequence[str]) -> None:
    """Back to where an exchange began, from wherever it came to."""
    if not old.exists():
        return
    if not partial.exists():
        for name in foreign:
            if os.path.lexists(target / name) and not os.path.lexists(old / name):
                (target / name).rename(old / name)
        target.rename(partial)
    old.rename(target)


def _remove_own(old: Path, kind: Kind) -> None:
    """Remove what avsep wrote, the proof of it last, and the folder where nothing else is in it."""
    with suppress(OSError):
        for name in sorted(own_files(old, kind), key=lambda name: name in kind.manifests):
            (old / name).unlink()
        old.rmdir()


def settle_stale(target: Path, kind: Kind, say: Callable[[str], None]) -> None:
    """End what processes that are gone had begun: their partial results are removed, what they set aside comes back."""
    for folder in target.parent.glob(f"{glob.escape(_prefix(target))}*"):
        if not folder.is_dir() or folder.is_symlink():
            continue
        lock = _lock(folder)
        if lock is None:
            continue
        try:
            old = folder / "old"
            if old.is_dir():
                _settle(old, target, kind, say)
            if not old.exists():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _settle(old: Path, target: Path, kind: Kind, say: Callable[[str], None]) -> None:
    if not target.exists():
        old.rename(target)
        return
    stuck = []
    for name in foreign_files(old, kind):
        if os.path.lexists(target / name):
            stuck.append(name)
        else:
            (old / name).rename(target / name)
    if stuck:
        say(f"{old}: holds {', '.join(stuck)} of an interrupted run, but {target} has them, too. Move or remove them")
    else:
        _remove_own(old, kind)


def _prefix(target: Path) -> str:
    """How the hidden folders of a target begin; long names are cut, as a file name has 255 bytes at most."""
    name = target.name
    encoded = os.fsencode(name)
    if len(encoded) > 100:
        name = f"{encoded[:80].decode(errors='ignore')}-{zlib.crc32(encoded):08x}"
    return f".{name}.partial-"


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
