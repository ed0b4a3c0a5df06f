"""Further formats of a result, as `avsep timeline` makes them. The one place where the page meets that command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avsep.output.ownership import foreign_files
from avsep.results.result import Result, read_result
from avsep.timeline.formats import FORMATS, files_of, formats_of, is_installed
from avsep.timeline.write import add_formats


def formats() -> list[str]:
    """Names of the formats that can be made."""
    return list(FORMATS)


def outdated(result: Result) -> dict[str, list[str]]:
    """Files that were written before the last change, and the formats, of those that can be made, that write them
    again."""
    files = result.outdated
    return {"files": files, "formats": [name for name in formats_of(files) if is_installed(name)]}


def make(folder: Path, names: Sequence[str]) -> None:
    """Write formats into a result, listed in its manifest; those that were made before are replaced. Raises
    AvsepError."""
    others = set(foreign_files(folder)) & set(files_of(names))
    add_formats(read_result(folder), names, lambda warning: None, overwrite=not others)
