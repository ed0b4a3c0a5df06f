"""What the page may change of a result, by name: each takes the folder and what the browser asks for.

All raise AvsepError, and KeyError, TypeError or ValueError where the browser asks for nothing that makes sense.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avsep.errors import UsageError
from avsep.page import formats
from avsep.results.change import rename_tracks
from avsep.results.edit import merge_tracks, split_track, take_away
from avsep.results.result import Span
from avsep.results.undo import Before

Asked = Mapping[str, Any]


def rename(folder: Path, asked: Asked) -> None:
    rename_tracks(folder, {_text(asked["track"]): _text(asked["name"])})


def merge(folder: Path, asked: Asked) -> None:
    merge_tracks(folder, _text(asked["track"]), _text(asked["other"]))


def split(folder: Path, asked: Asked) -> None:
    split_track(folder, _text(asked["track"]), _spans(asked["spans"]), _text(asked.get("name") or "") or None)


def take(folder: Path, asked: Asked) -> None:
    take_away(folder, _text(asked["track"]), _spans(asked["spans"]))


def add_formats(folder: Path, asked: Asked) -> None:
    names = [_text(name) for name in asked["formats"]]
    if not names or not set(names) <= set(formats.formats()):
        raise ValueError(f"there are the formats {', '.join(formats.formats()) or 'none'}")
    formats.make(folder, names)


CHANGES: dict[str, Callable[[Path, Asked], None]] = {
    "rename": rename,
    "merge": merge,
    "split": split,
    "take": take,
    "formats": add_formats,
}


_UNDOABLE = ("merge", "split", "take")
_MOST_KEPT = 4
"""Results whose last change can be undone: what it replaced takes room on the disk."""


class Changes:
    """Makes changes, one at a time of each result, and undoes the last one."""

    def __init__(self) -> None:
        self._before: OrderedDict[Path, Before] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, folder: Path, name: str, asked: Asked) -> bool:
        """Make a change of CHANGES, or "undo"; returns whether it can be undone."""
        if name == "undo":
            self._undo(folder)
            return False
        before = _before(folder) if name in _UNDOABLE else None
        kept = None
        try:
            CHANGES[name](folder, asked)
            if before is not None and before.changed():
                kept = before
        finally:
            if before is not None and kept is None:
                before.close()
        self._keep(folder, kept)
        return kept is not None

    def close(self) -> None:
        while self._before:
            self._before.popitem()[1].close()

    def _undo(self, folder: Path) -> None:
        with self._lock:
            before = self._before.pop(folder, None)
        if before is None:
            raise UsageError("there is no change that can be undone")
        try:
            before.put_back()
        finally:
            before.close()

    def _keep(self, folder: Path, before: Before | None) -> None:
        with self._lock:
            gone = [self._before.pop(folder, None)]
            if before is not None:
                self._before[folder] = before
                if len(self._before) > _MOST_KEPT:
                    gone.append(self._before.popitem(last=False)[1])
        for one in gone:
            if one is not None:
                one.close()


def _before(folder: Path) -> Before | None:
    """None where the result cannot be kept, as for too many files: it is changed nonetheless."""
    try:
        return Before(folder)
    except OSError:
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is not a text")
    return value


def _spans(values: Any) -> list[Span]:
    return [Span(float(start), float(end)) for start, end in values]
