"""What can be checked before decoding starts, is: names that collide, output folders that cannot be written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from avsep.errors import OutputError, UsageError
from avsep.output import workspace
from avsep.output.ownership import SEPARATION, Kind


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


def by_name(option: str, given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Files by the names that they are given under. Raises UsageError where one name is given twice."""
    found: dict[str, str] = {}
    for name, file in given:
        if name in found:
            raise UsageError(
                f"{option}: {found[name]} and {file} are both named {name!r}. Give each a name of its own, such as "
                f"{option} {name}2={file}"
            )
        found[name] = file
    return found


def check_target(
    target: Path, inputs: Mapping[workspace.FolderId, Path], *, overwrite: bool, kind: Kind = SEPARATION
) -> None:
    """Raise OutputError where a folder of results cannot be written; changes nothing that stays.

    inputs: `workspace.folders_of` everything that the command reads, so that no clip's results replace another clip.
    """
    workspace.check_target(target, overwrite, inputs, kind)
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
