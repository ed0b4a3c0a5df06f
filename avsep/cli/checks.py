"""What can be checked before decoding starts, is: names that collide, output folders that cannot be written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from avsep.cli.inputs import Input
from avsep.errors import OutputError, UsageError
from avsep.output import workspace
from avsep.output.ownership import SEPARATION, Kind


def check_folders(inputs: Iterable[Input]) -> None:
    """Raise UsageError where two clips would write the same folder, or one into that of another."""
    first: dict[Path, Path] = {}
    way_out = "Rename one, or separate them in two calls with different -o"
    for each in inputs:
        folder = each.place / each.path.stem
        other = first.setdefault(folder, each.path)
        if other is not each.path:
            raise UsageError(f"{other} and {each.path} would both write the folder {folder}/. {way_out}")
    for folder, clip in first.items():
        above = next((first[parent] for parent in folder.parents if parent in first), None)
        if above is not None:
            raise UsageError(f"{clip} would write the folder {folder}/, which lies in that of {above}. {way_out}")


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
def no_empty_folders(*outputs: Path) -> Iterator[None]:
    """Remove the folders of `outputs` that the block made and left empty: a run that fails writes nothing."""
    folders = {folder for output in outputs for folder in (output, *output.parents)}
    made = [folder for folder in folders if not folder.exists()]
    try:
        yield
    finally:
        for folder in sorted(made, key=lambda folder: len(folder.parts), reverse=True):
            with suppress(OSError):  # never made, or there are results in it
                folder.rmdir()
