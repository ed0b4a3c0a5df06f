"""Files of a result in other formats, written into its folder: all of them or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from avsep.errors import OutputError
from avsep.results.change import change_result, set_outdated
from avsep.results.result import Result, names_in
from avsep.signals import ProgressHook, no_progress
from avsep.storage.files import partial_name, remove_partials
from avsep.timeline.base import TimeLine
from avsep.timeline.formats import CAPTIONS, FORMATS, Part, Parts, check_formats
from avsep.timeline.transcripts import read_captions


def write_formats(
    result: Result, formats: Sequence[str], warn: Callable[[str], None], progress: ProgressHook = no_progress
) -> list[str]:
    """Write formats of a result that is still being written into its folder; returns the names of the files. Raises
    UsageError, InputError and OutputError."""
    check_formats(formats)
    made = _make(TimeLine(result, warn, progress), _parts(formats, FORMATS), lambda file: file)
    return [file.name for file, _ in made]


def add_formats(
    result: Result,
    formats: Sequence[str],
    warn: Callable[[str], None],
    progress: ProgressHook = no_progress,
    *,
    captions: Path | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write formats of a result into its folder and name them in its manifest; all or nothing. Returns the names.

    captions: folder with what a recogniser wrote of the tracks, for the formats in CAPTIONS. overwrite: replace files
    that are there. Raises UsageError, InputError and OutputError.
    """
    known = FORMATS if captions is None else CAPTIONS
    check_formats(formats, known)
    parts, folder = _parts(formats, known), result.folder
    check_free(folder, [part.file for part in parts], overwrite)
    line = TimeLine(result, warn, progress)
    if captions is not None:
        line.captions = read_captions(captions, line)
    try:
        remove_partials(folder)
        with ExitStack() as undo:

            def hidden(file: Path) -> Path:
                partial = partial_name(file, os.getpid())
                undo.callback(partial.unlink, missing_ok=True)
                return partial

            made = _make(line, parts, hidden)
            check_free(folder, [file.name for file, _ in made], overwrite)  # they may have appeared since
            # First the names: a file that avsep wrote must not be taken for somebody else's.
            change_result(
                folder, lambda content, now: _add_files(content, [file.name for file, _ in made], result, now)
            )
            for file, partial in made:
                partial.replace(file)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written to ({error.strerror}). Free some space, or see to its permissions"
        ) from error
    return [file.name for file, _ in made]


def check_free(folder: Path, names: Sequence[str], overwrite: bool) -> None:
    """Raise OutputError where files are there that must not be replaced."""
    there = [name for name in names if os.path.lexists(folder / name)]
    folders = [name for name in there if (folder / name).is_dir()]
    if folders:
        raise OutputError(f"{folder / folders[0]}: is a folder. Move it away")
    if there and not overwrite:
        raise OutputError(f"{folder}: {', '.join(there)} exists already. Replace with --overwrite, or move it away")


def _parts(formats: Sequence[str], known: Mapping[str, Parts]) -> list[Part]:
    return [part for name in dict.fromkeys(formats) for part in known[name]]


def _make(line: TimeLine, parts: Sequence[Part], place: Callable[[Path], Path]) -> list[tuple[Path, Path]]:
    """Write parts to where `place` puts them; returns those that the result has something for, and their places."""
    if any(part.needs_sound for part in parts):
        line.check_sounds()
    made = []
    for part in parts:
        file = line.result.folder / part.file
        written = place(file)
        part.write(line, written)
        if written.exists():
            made.append((file, written))
    return made


def _add_files(content: dict[str, Any], names: Sequence[str], told: Result, now: Result) -> None:
    """told: the result that the files tell of; it may have been changed since."""
    content["files"] = sorted({*names_in(content, "files"), *names})
    if told.manifest["tracks"] == now.manifest["tracks"]:
        set_outdated(content, (), current=names)
    else:
        set_outdated(content, names)
