"""A folder of results that appears whole or not at all, and never at the cost of files that avsep did not write."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from avsep.errors import OutputError, UsageError
from avsep.output.exchange import exchange, hidden_folder, settle_stale
from avsep.output.ownership import SEPARATION, Kind, foreign_files, own_files

FolderId = tuple[int, int]
"""Device and number of a folder: the same by whatever path it is reached."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REMOVED = {errno.ENOENT, errno.ESTALE, errno.ENOTDIR}
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}
_NOT_WRITABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO, errno.ENAMETOOLONG, errno.EBUSY, errno.EXDEV,
}  # fmt: skip


@contextmanager
def workspace(
    target: Path | str,
    overwrite: bool = False,
    *,
    inputs: Iterable[Path | str] = (),
    kind: Kind = SEPARATION,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Path]:
    """A hidden folder beside `target` to write into; it is renamed to `target` when the block succeeds.

    When the block raises, Ctrl-C included, the folder is removed. With `overwrite` the files that avsep wrote into an
    existing target are replaced, at the very end; everything else in it is kept, and `say` is told before the block
    runs. What killed runs left behind for the same target is settled first. inputs: what the block reads, which must
    not lie in a target that is replaced. Raises OutputError when the target exists, was not written by avsep, cannot
    be written or the disk is full.
    """
    target = Path(target).absolute()
    folders = folders_of(inputs)
    check_target(target, overwrite, folders, kind)
    made: list[Path] = []  # the parents that had to be made, the deepest first
    try:
        with _as_output_error(target, everything=True):
            made = [parent for parent in target.parents if not parent.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            settle_stale(target, kind, say)
            check_target(target, overwrite, folders, kind)  # results that were set aside may be back
            if target.exists() and (kept := foreign_files(target, kind)):
                say(f"{target}: keeps what avsep did not write: {_shortened(kept)}")
            partial, lock = hidden_folder(target)
        try:
            with _as_output_error(target, partial=partial):
                yield partial
            with _as_output_error(target, partial=partial, publishing=True):
                partial.chmod(0o777 & ~_umask())
                check_target(target, overwrite, folders, kind)  # it may have appeared or changed since
                if overwrite and target.exists():
                    foreign = foreign_files(target, kind)
                    _refuse_clash(target, [name for name in foreign if os.path.lexists(partial / name)])
                    exchange(partial, target, foreign, kind)
                else:
                    partial.rename(target)
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


def result_folder(output: Path | str, clip: Path | str) -> Path:
    """Where the results of a clip go: a folder of its name, without the ending, in `output`.

    Raises UsageError for a clip such as "..mp4", whose name leaves none.
    """
    name = Path(clip).stem
    if not name.strip("."):
        raise UsageError(f"{clip}: its name without the ending is {name!r}, which names no folder. Rename the clip")
    return Path(output) / name


def folders_of(inputs: Iterable[Path | str]) -> dict[FolderId, Path]:
    """Every folder above an input, or that is one, and the input: those that must not be replaced while it is read."""
    found: dict[FolderId, Path] = {}
    for path in map(Path, inputs):
        if not os.path.lexists(path):  # the name of a bundled model
            continue
        # Where a link lies and where what it points to lies.
        for place in {Path(os.path.realpath(path.parent), path.name), Path(os.path.realpath(path))}:
            for folder in (place, *place.parents):
                with suppress(OSError):
                    found.setdefault(_id(folder), path)
    return found


def check_target(
    target: Path | str,
    overwrite: bool = False,
    inputs: Mapping[FolderId, Path] | None = None,
    kind: Kind = SEPARATION,
) -> None:
    """Raise OutputError when a folder of results cannot be put at `target`; writes nothing. inputs: see folders_of."""
    target = Path(target).absolute()
    with _as_output_error(target, everything=True):
        _check_place(target, overwrite, inputs or {}, kind)


def _check_place(target: Path, overwrite: bool, inputs: Mapping[FolderId, Path], kind: Kind) -> None:
    if target.is_symlink() or target.exists():
        if target.is_symlink() or not target.is_dir():
            raise OutputError(f"{target}: exists and is not a folder. Choose another output folder with -o")
        if not overwrite:
            raise OutputError(
                f"{target}: exists already. Replace it with --overwrite, or choose another folder with -o"
            )
        _check_replaceable(target, kind)
        if clip := inputs.get(_id(target)):
            raise OutputError(
                f"{target}: would be replaced, but the input {clip} lies in it. Choose another output folder with -o"
            )
    parent = next(folder for folder in target.parents if folder.exists())
    if not parent.is_dir():
        raise OutputError(f"{target}: cannot be made, {parent} is not a folder. Choose another output folder with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"{target}: cannot be made, no permission to write in {parent}. Choose another folder with -o"
        )


def _check_replaceable(target: Path, kind: Kind) -> None:
    """--overwrite is for our own results; a slip in -o must not cost anybody's files."""
    foreign = foreign_files(target, kind)
    if foreign and not own_files(target, kind):
        raise OutputError(
            f"{target}: was not written by {kind.command} (it has no {' or '.join(kind.manifests)} that says so), so"
            " --overwrite leaves it alone. Remove it yourself, or choose another folder with -o"
        )
    _refuse_clash(target, [name for name in foreign if kind.result.fullmatch(name)])


def _refuse_clash(target: Path, names: list[str]) -> None:
    if names:
        raise OutputError(
            f"{target}: holds {_shortened(names)}, which avsep did not write and new results would replace."
            " Move it away, or choose another folder with -o"
        )


def _shortened(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _id(folder: Path) -> FolderId:
    found = folder.stat()
    return found.st_dev, found.st_ino


@contextmanager
def _as_output_error(
    target: Path, *, everything: bool = False, partial: Path | None = None, publishing: bool = False
) -> Iterator[None]:
    """Turn the system's complaints about writing into an OutputError; all of them, or those about this place.

    partial: the folder that is written to meanwhile, which somebody may remove. publishing: while it takes its name,
    which another run may take at the same moment.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise OutputError(
                f"{target}: the disk is full ({error.strerror}). Nothing was kept; free some space or choose a folder"
                " on another disk with -o"
            ) from error
        if partial is not None and not partial.exists() and error.errno in _REMOVED:
            raise OutputError(
                f"{target}: the folder {target.parent} or what was begun in it was removed while results were written."
                " Run it again"
            ) from error
        if publishing and error.errno in _TAKEN:
            raise OutputError(
                f"{target}: was written by another run while this one was at work. That one's results are kept; choose"
                " another output folder with -o, or run it again with --overwrite"
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
