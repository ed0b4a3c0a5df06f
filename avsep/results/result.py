"""A folder that `avsep separate` wrote, read back and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from avsep.errors import InputError
from avsep.safe_text import one_line
from avsep.storage.documents import read_json

MANIFEST = "manifest.json"
VOICE_KINDS = ("person", "voice")
"""Kinds of tracks in which somebody speaks."""
KINDS = (*VOICE_KINDS, "sound", "stem")


class Span(NamedTuple):
    """A stretch of time, in seconds from the first audio sample that was separated."""

    start: float
    end: float


class Doubt(NamedTuple):
    """A span that is not to be trusted, in seconds as in `Span`. reason: in words; kind: in one, such as "swap"."""

    start: float
    end: float
    reason: str
    kind: str


@dataclass(frozen=True)
class ResultTrack:
    """A track. label: a person's name, a class or a stem. box: x1, y1, x2, y2 in pixels. speaking: None for sounds and
    stems. entry: all that the manifest says of it. doubtful: spans not to be trusted, by start; none where nothing was
    measured."""

    id: str
    kind: str
    label: str | None
    audio: Path
    video: Path | None
    thumbnail: Path | None
    box: tuple[float, float, float, float] | None
    appearances: tuple[Span, ...]
    speaking: tuple[Span, ...] | None
    entry: Mapping[str, Any]
    doubtful: tuple[Doubt, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: its label, else its id."""
        return self.label or self.id

    @property
    def is_voice(self) -> bool:
        """Whether somebody speaks in it."""
        return self.kind in VOICE_KINDS


@dataclass(frozen=True)
class Result:
    """A result of `avsep separate`. clip: the input as it was named. seconds: of the sound."""

    folder: Path
    clip: Path
    seconds: float
    sample_rate: int
    tracks: tuple[ResultTrack, ...]
    residual: Path | None
    manifest: Mapping[str, Any]

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Width and height of the input picture in pixels, in which boxes are; None where there is none."""
        video = self.manifest["input"].get("video")
        return (
            (int(video["width"]), int(video["height"]))
            if video and video.get("width") and video.get("height")
            else None
        )

    @property
    def picture_begin(self) -> float:
        """Time of the first picture of the people's videos in seconds: 0, or less where the pictures of a whole clip
        begin before its sound."""
        told = self.manifest["input"]
        if not told.get("video") or told.get("start_seconds"):
            return 0.0
        return min(float(told["video"].get("start_seconds") or 0.0), 0.0)

    @property
    def outdated(self) -> list[str]:
        """Files of other formats that are there and were written before the tracks were changed last."""
        listed = {name for name in names_in(self.manifest, "files") if name == Path(name).name}
        return [
            name for name in names_in(self.manifest, "outdated") if name in listed and (self.folder / name).is_file()
        ]

    def track(self, name: str) -> ResultTrack:
        """The track with this id, or else with this label. Raises InputError."""
        found = [one for one in self.tracks if one.id == name] or [one for one in self.tracks if one.label == name]
        if len(found) == 1:
            return found[0]
        have = ", ".join(f"{one.id} ({one.label})" if one.label else one.id for one in self.tracks)
        what = f"{len(found)} tracks are called" if found else "there is no track"
        raise InputError(f"{self.folder}: {what} {name!r}. There are: {have or 'no tracks'}")


def names_in(manifest: Mapping[str, Any], key: str) -> list[str]:
    """The names that a list of a manifest holds; none where it is no list."""
    listed = manifest.get(key)
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def read_result(folder: Path | str) -> Result:
    """The result in a folder. Raises InputError where it is none, or its manifest is damaged."""
    folder = Path(folder)
    file = folder / MANIFEST
    try:
        manifest = read_json(file)
    except FileNotFoundError as error:
        there = "is not there" if not folder.exists() else f"is no result of avsep separate: it has no {MANIFEST}"
        raise InputError(f"{folder}: {there}. Give a folder that avsep separate wrote") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be read ({one_line(error)}). Separate the clip again with --overwrite"
        ) from error
    try:
        return parse_result(folder, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
        raise InputError(
            f"{file}: is damaged, or is not one of avsep separate ({said}). Separate the clip again with --overwrite"
        ) from error


def parse_result(folder: Path, manifest: Any) -> Result:
    """What a manifest says of a result in `folder`. Raises KeyError, TypeError, ValueError or AttributeError."""
    if type(manifest["format"]) is not int:
        raise ValueError(f"its format is {manifest['format']!r}")
    told = manifest["input"]
    seconds, rate = float(told["duration_seconds"]), int(told["audio"]["sample_rate"])
    if not 0 <= seconds < math.inf or rate <= 0:
        raise ValueError(f"the input has {seconds} s at {rate} Hz")
    if (video := told.get("video")) and not all(
        isinstance(video.get(key, 0), int | float) and -1e9 < video.get(key, 0) < 1e9
        for key in ("width", "height", "start_seconds")
    ):
        raise ValueError(f"its picture is {video!r:.200}")
    residual = manifest["residual"]
    tracks = tuple(_track(folder, entry, seconds) for entry in manifest["tracks"])
    if len({track.id for track in tracks}) < len(tracks):
        raise ValueError("two tracks have the same id")
    return Result(
        folder,
        Path(_text(told["path"])),
        seconds,
        rate,
        tracks,
        None if residual is None else _file(folder, residual),
        manifest,
    )


def _track(folder: Path, entry: Mapping[str, Any], seconds: float) -> ResultTrack:
    video, thumbnail, label, box = (entry.get(key) for key in ("video", "thumbnail", "label", "box"))
    speaking, kind = entry.get("speaking"), _text(entry["kind"])
    if kind not in KINDS:
        raise ValueError(f"a track is of kind {kind!r}, not of {', '.join(KINDS)}")
    if speaking is None and kind in VOICE_KINDS:
        speaking = []
    return ResultTrack(
        id=_file(folder, entry["id"]).name,
        kind=kind,
        label=None if label is None else _text(label),
        audio=_file(folder, entry["audio"]),
        video=None if video is None else _file(folder, video),
        thumbnail=None if thumbnail is None else _file(folder, thumbnail),
        box=None if box is None else _box(box),
        appearances=_spans(entry.get("appearances") or [], seconds),
        speaking=None if speaking is None else _spans(speaking, seconds),
        entry=entry,
        doubtful=tuple(sorted(_doubt(one, seconds) for one in entry.get("doubtful") or [])),
    )


def _doubt(entry: Mapping[str, Any], seconds: float) -> Doubt:
    start, end = float(entry["start_seconds"]), float(entry["end_seconds"])
    if not 0 <= start <= end < math.inf:
        raise ValueError("a doubtful span does not begin before it ends")
    return Doubt(min(start, seconds), min(end, seconds), _text(entry["reason"]), _text(entry.get("kind", "")))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is not a text")
    return value


def _file(folder: Path, name: Any) -> Path:
    """A file of the folder itself: a manifest of a stranger must not lead anywhere else."""
    if not _text(name) or name != Path(name).name or "\0" in name:
        raise ValueError(f"{name!r:.100} is not the name of a file")
    return folder / name


def _box(values: Any) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in values)
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise ValueError(f"a box is {values!r:.100}")
    return x1, y1, x2, y2


def _spans(entries: Any, seconds: float) -> tuple[Span, ...]:
    """In order of time, within the clip; times are rounded to milliseconds there."""
    spans = [Span(float(entry["start_seconds"]), float(entry["end_seconds"])) for entry in entries]
    if not all(0 <= start <= end < math.inf for start, end in spans):
        raise ValueError("a span does not begin before it ends")
    return tuple(Span(start, min(end, seconds)) for start, end in sorted(spans) if start < seconds)
