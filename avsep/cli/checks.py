"""What can be checked before decoding starts, is: names that collide, output folders that cannot be written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    from avsep.output import workspace

    workspace.check_target(target, overwrite)
    if target.exists():
        _check_replaceable(target, clip)
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    try:
        # Permission bits do not tell all (root, read-only mounts): try it.
        with tempfile.TemporaryDirectory(prefix=".avsep-", dir=parent):
            pass
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be made, {parent} takes no new folder ({error.strerror})."
            " Choose another output folder with -o"
        ) from error


@contextmanager
def no_empty_folders(output: Path) -> Iterator[None]:
    """Remove the folders of `output` that the block made and left empty: a run that fails writes nothing."""
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in made:
            try:
                folder.rmdir()
            except OSError:  # never made, or there are results in it
                break


def _check_replaceable(target: Path, clip: Path) -> None:
    """--overwrite is for our own results; a slip in -o must not cost anybody's files."""
    if not any((target / name).is_file() for name in OUR_FILES) and any(target.iterdir()):
        raise OutputError(
            f"{target}: was not written by avsep (it has no {' or '.join(OUR_FILES)}), so --overwrite leaves it alone."
            " Remove it yourself, or choose another folder with -o"
        )
    if clip.resolve().is_relative_to(target.resolve()):
        raise OutputError(
            f"{target}: would be replaced, but the clip {clip} lies in it. Choose another output folder with -o"
        )
