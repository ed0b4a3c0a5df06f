"""Further formats of a result, as `avsep timeline` makes them. The one place where the page meets that command."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from avsep.output.ownership import foreign_files
from avsep.results.result import read_result


def formats() -> list[str]:
    """Names of the formats that can be made here."""
    try:
        return list(import_module("avsep.timeline.formats").FORMATS)
    except ModuleNotFoundError:
        return []


def make(folder: Path, names: Sequence[str]) -> None:
    """Write formats into a result, listed in its manifest; those that were made before are replaced. Raises
    AvsepError."""
    others = set(foreign_files(folder)) & set(import_module("avsep.timeline.formats").files_of(names))
    write = import_module("avsep.timeline.write")
    write.add_formats(read_result(folder), names, lambda warning: None, overwrite=not others)
