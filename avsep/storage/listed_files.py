"""Files that a table names, a million of them perhaps: whether they are there, without asking for each."""

from __future__ import annotations

import os
from pathlib import Path

from avsep.storage.files import name_in_text

ASKED_BEFORE_LISTING = 256
"""Files of a folder that are looked for one by one, before the folder is listed: it may hold many that no row names."""


class ListedFiles:
    """The files below a folder, by names relative to it, or absolute ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folders: dict[str, Path] = {}
        self._asked: dict[str, int] = {}
        self._names: dict[str, set[str]] = {}

    def find(self, name: str) -> Path | None:
        """The path of a file, None where there is none of this name."""
        name = name_in_text(name)
        place, _, base = name.rpartition("/")
        if base in self._names.get(place, ()):
            return self._folders[place] / base
        path = self._folder / name
        if not os.path.isfile(path):  # of any name, however long
            return None
        asked = self._asked[place] = self._asked.get(place, 0) + 1
        if asked == ASKED_BEFORE_LISTING:
            self._folders[place] = path.parent
            with os.scandir(path.parent) as entries:
                self._names[place] = {entry.name for entry in entries if entry.is_file()}
        return path
