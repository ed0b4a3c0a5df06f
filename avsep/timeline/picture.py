"""The picture that belongs to a result, in a file that may be referred to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsep.errors import InputError
from avsep.media.probe import ClipInfo, end_of_pictures, probe
from avsep.media.unchanged import sha256
from avsep.results.result import MANIFEST, Result
from avsep.storage.documents import finite


@dataclass(frozen=True)
class Picture:
    """A file with the picture.

    clip: the file. is_own: whether avsep wrote it, else it is the clip that was separated. zero_seconds: the result's
    time 0 on the file's own clock, which begins with its first sample or picture. start_seconds, end_seconds: when the
    picture begins and ends on the result's clock; it may begin before 0. fps: of the clip that was separated.
    """

    clip: ClipInfo
    is_own: bool
    zero_seconds: float
    start_seconds: float
    end_seconds: float
    fps: float

    @property
    def file(self) -> Path:
        return self.clip.path


def find_picture(result: Result, warn: Callable[[str], None]) -> Picture | None:
    """The video of a person, as it moves with the folder, else the clip that was separated; None where there is none.

    Boxes that were drawn are in nobody's way: then the clip comes first. warn: told why there is none. Raises
    InputError where a file or the manifest is damaged.
    """
    told = result.manifest["input"].get("video")
    if not isinstance(told, Mapping):
        return None
    options = result.manifest.get("options")
    options = options if isinstance(options, Mapping) else {}
    begin = _number(result, result.manifest["input"].get("start_seconds", 0.0))
    if not options.get("mark"):
        own = next((track.video for track in result.tracks if track.video and track.video.is_file()), None)
        if own is not None:
            # Pictures from before the sound are there unless the clip was cut; the sound is late by as much then.
            lead = 0.0 if begin else max(0.0, -_number(result, told.get("start_seconds")))
            return _in_own(probe(own), lead, _number(result, told.get("fps")))
    return _in_clip(result, begin, options, warn)


def _in_own(video: ClipInfo, lead: float, fps: float) -> Picture | None:
    """fps: not that of the file, in which the first picture may be shown for longer."""
    if video.video is None or fps <= 0:
        return None
    return Picture(video, True, lead, 0.0 - lead, end_of_pictures(video) - lead, fps)


def _in_clip(result: Result, begin: float, options: Mapping[str, Any], warn: Callable[[str], None]) -> Picture | None:
    told = result.manifest["input"]
    if not result.clip.is_file():
        warn(
            f"{result.clip}: is not there, so the picture is left out. Start in the folder from which it was separated"
        )
        return None
    try:
        is_other = told.get("sha256") != sha256(result.clip)
    except OSError as error:
        warn(f"{result.clip}: cannot be read ({error.strerror}), so the picture is left out")
        return None
    if is_other:
        warn(f"{result.clip}: is another file than was separated, so the picture is left out")
        return None
    end = options.get("end")
    stream = told["audio"].get("stream")
    clip = probe(
        result.clip,
        audio_stream=stream if isinstance(stream, int) else None,
        start=begin or None,
        end=None if end is None else _number(result, end),
    )
    if clip.video is None:
        return None
    start, stop = clip.video.start_seconds, end_of_pictures(clip)
    zero = begin + max(0.0, -(start + begin))
    if begin:
        start = max(start, 0.0)
    stop = min(stop, clip.asked_seconds)
    return Picture(clip, False, zero, start, stop, clip.video.fps) if stop > max(start, 0.0) else None


def _number(result: Result, value: Any) -> float:
    try:
        return finite(value)
    except ValueError as error:
        raise InputError(
            f"{result.folder / MANIFEST}: is damaged ({error}). Separate the clip again with --overwrite"
        ) from error
