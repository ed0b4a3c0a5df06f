"""What can be checked before decoding starts, is: names that collide, clips that cannot be read, output in the way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from avsep.errors import OutputError, UsageError

OUR_FILES = ("manifest.json", "people.json")
"""A folder with one of these was written by avsep and may be replaced on request."""


def check_stems(clips: Sequence[Path]) -> None:
    """Raise UsageError where two clips would write the same folder."""
    first: dict[str, Path] = {}
    for clip in clips:
        other = first.setdefault(clip.stem, clip)
        if other is not clip:
            raise UsageError(
                f"{other} and {clip} would both write the folder {clip.stem}/."
                " Rename one, or separate them in two calls with different -o"
            )


def check_target(target: Path, clip: Path, *, overwrite: bool) -> None:
    """Raise OutputError where the output folder of a clip cannot be written; changes nothing that stays."""
    if target.exists() or target.is_symlink():
        _check_replaceable(target, clip, overwrite=overwrite)
    parent = target.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"cannot write to {target}: {parent} is not a folder. Choose another output folder with -o")
    if os.access(parent, os.W_OK | os.X_OK) and _takes_a_folder(parent):
        return
    raise OutputError(f"cannot write to {target}: {parent} is not writable. Choose another output folder with -o")


def _check_replaceable(target: Path, clip: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise OutputError(f"output folder {target} exists. Use --overwrite to replace it, or another folder with -o")
    if not target.is_dir() or target.is_symlink():
        raise OutputError(f"output {target} exists and is not a folder. Remove it, or choose another folder with -o")
    if not any((target / name).is_file() for name in OUR_FILES) and any(target.iterdir()):
        raise OutputError(
            f"output folder {target} was not written by avsep (it has no {' or '.join(OUR_FILES)}),"
            " so --overwrite leaves it alone. Remove it yourself, or choose another folder with -o"
        )
    if clip.resolve().is_relative_to(target.resolve()):
        raise OutputError(
            f"the clip {clip} lies in the output folder {target} that it would replace. Choose another folder with -o"
        )


def _takes_a_folder(parent: Path) -> bool:
    """Permission bits do not tell all (root, read-only mounts): try it."""
    try:
        with tempfile.TemporaryDirectory(prefix=".avsep-", dir=parent):
            return True
    except OSError:
        return False
