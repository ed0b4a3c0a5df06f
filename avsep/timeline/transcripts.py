"""What a recogniser wrote for each track: the JSON of whisper and whisperX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from avsep.errors import InputError, UsageError
from avsep.safe_text import one_line
from avsep.storage.documents import finite, read_json
from avsep.timeline.base import Cue, TimeLine, in_one_line


def read_captions(folder: Path, line: TimeLine) -> tuple[Cue, ...]:
    """What is said in all tracks of people and voices, in order of time: folder/speaker_00.json, ...

    Where two speak at once cues overlap. A segment that ends after the clip is cut there, as recognisers work on
    stretches of fixed length. A track without a file is told as a warning. Raises UsageError where there is no such
    folder, InputError where no track has a file and for one that whisper did not write.
    """
    if not folder.is_dir():
        raise UsageError(
            f"--captions {folder}: is no folder. Give one with a file for each track, such as speaker_00.json"
        )
    files = {lane.id: folder / f"{lane.id}.json" for lane in line.voices}
    there = [lane for lane in line.voices if files[lane.id].is_file()]
    if not there:
        wanted = ", ".join(file.name for file in files.values()) or "nothing, as nobody speaks in this result"
        raise InputError(f"{folder}: has captions of no track of {line.result.folder}. Expected there: {wanted}")
    for lane in line.voices:
        if lane not in there:
            line.warn(f"{files[lane.id]}: is not there, so there are no captions of {lane.name}")
    cues = [cue for lane in there for cue in read_transcript(files[lane.id], lane.name, line.seconds)]
    return tuple(sorted(cues, key=lambda cue: (cue.start, cue.end)))


def read_transcript(file: Path, name: str, seconds: float) -> list[Cue]:
    """The segments of one track, of somebody with this name, in a clip of so many seconds. Raises InputError."""
    try:
        return list(_cues(read_json(file), name, seconds))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: cannot be used as captions: {one_line(error)}. It must be the JSON that whisper or whisperX "
            "writes for this track: segments, each with start, end (in seconds) and text"
        ) from error


def _cues(document: Any, name: str, seconds: float) -> Iterator[Cue]:
    segments = document.get("segments") if isinstance(document, Mapping) else None
    if not isinstance(segments, list):
        raise ValueError("it has no list of segments")
    for number, segment in enumerate(segments, 1):
        where = f"segment {number}"
        if not isinstance(segment, Mapping) or not isinstance(segment.get("text"), str):
            raise ValueError(f"{where} has no text")
        start, end = (_time(segment.get(key), f"the {key} of {where}") for key in ("start", "end"))
        if end < start:
            raise ValueError(f"{where} ends at {end:g} s, before its start at {start:g} s")
        if start > seconds:
            raise ValueError(f"{where} starts at {start:g} s, and the clip has {seconds:g} s")
        text = in_one_line(segment["text"])
        if text:
            yield Cue(start, min(end, seconds), name, text)


def _time(value: Any, what: str) -> float:
    try:
        found = finite(value)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    if found < 0:
        raise ValueError(f"{what} is {found:g} s, before the clip begins")
    return found
