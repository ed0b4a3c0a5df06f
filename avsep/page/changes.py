"""What the page may change of a result, by name: each takes the folder and what the browser asks for.

All raise AvsepError, and KeyError, TypeError or ValueError where the browser asks for nothing that makes sense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avsep.page import formats
from avsep.results.change import rename_tracks
from avsep.results.edit import merge_tracks, split_track, take_away
from avsep.results.result import Span

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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is not a text")
    return value


def _spans(values: Any) -> list[Span]:
    return [Span(float(start), float(end)) for start, end in values]
