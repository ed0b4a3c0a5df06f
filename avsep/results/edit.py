"""Results put right by hand: people merged and split, a wrong stretch of time taken away from somebody.

The wav files sum to the input before and after, so no sound is ever lost. A change appears whole or not at all.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from avsep.errors import InputError, OutputError, UsageError
from avsep.media.encode import WavWriter
from avsep.media.new_sound import replace_sound
from avsep.output import manifest
from avsep.output.faces import FACES, write_faces
from avsep.output.ownership import own_files
from avsep.output.workspace import workspace
from avsep.results.change import check_name, locked, note_outdated, set_speakers
from avsep.results.faces import read_faces
from avsep.results.result import MANIFEST, Result, ResultTrack, Span, read_result

FADE_SECONDS = 0.01
"""Of what is taken away, before and after it."""
_BLOCK_FRAMES = 1 << 18

Block = dict[str, np.ndarray]
"""Samples of files by name: (time, channels) float32."""


def merge_tracks(folder: Path | str, kept: str, other: str) -> Result:
    """Give the sound of `other` to `kept`, whose face and name stay; `other` is gone. Tracks by id or name.

    Raises UsageError, InputError and OutputError; then nothing is changed.
    """

    def change(edit: _Edit) -> None:
        first, second = edit.voice(kept), edit.voice(other)
        if first.id == second.id:
            raise UsageError(f"{first.name} cannot be merged with itself. Give two people")

        def add(block: Block, start: int) -> Block:
            return {first.audio.name: block[first.audio.name] + block[second.audio.name]}

        edit.sound([first.audio.name, second.audio.name], [first.audio.name], add)
        entry, gone = edit.entry(first), edit.entry(second)
        entry["label"] = entry.get("label") or gone.get("label")
        _set_speaking(entry, _united([*_speaking(first), *_speaking(second)]))
        entry["speech_probability"] = max(one.get("speech_probability", 0.0) for one in (entry, gone))
        entry["warnings"] = list(dict.fromkeys([*entry.get("warnings", []), *gone.get("warnings", [])]))
        edit.merge_faces(first, second)
        edit.content["tracks"].remove(gone)
        for target in (edit.content.get("choice") or {}).get("targets", ()):
            if target.get("track") == second.id:
                target["track"] = first.id
        edit.renew_video(entry)
        edit.note({"change": "merged", "track": first.id, "with": second.id})

    return _edited(folder, change)


def take_away(folder: Path | str, track: str, spans: Sequence[Span]) -> Result:
    """Give what a track has in `spans` to the residual. Raises as `merge_tracks`."""

    def change(edit: _Edit) -> None:
        voice, cut = edit.voice(track), edit.spans(spans)
        name, rest = voice.audio.name, edit.residual()

        def move(block: Block, start: int) -> Block:
            taken = block[name] * edit.gate(cut, start, len(block[name]))
            return {name: block[name] - taken, rest: block[rest] + taken}

        edit.sound([name, rest], [name, rest], move)
        entry = edit.entry(voice)
        _set_speaking(entry, _without(_speaking(voice), cut))
        edit.renew_video(entry)
        edit.note({"change": "taken away", "track": voice.id, "spans": _times(cut)})

    return _edited(folder, change)


def split_track(folder: Path | str, track: str, spans: Sequence[Span], name: str | None = None) -> Result:
    """Give what a track has in `spans` to a new voice, called `name`. Raises as `merge_tracks`."""
    label = check_name(name) if name else None

    def change(edit: _Edit) -> None:
        voice, cut = edit.voice(track), edit.spans(spans)
        if label in [one.label for one in edit.result.tracks if one.is_voice and one.label]:
            raise UsageError(f"somebody is called {label!r} already. Choose another name")
        new = edit.new_id()
        old_file, new_file = voice.audio.name, f"{new}.wav"

        def move(block: Block, start: int) -> Block:
            taken = block[old_file] * edit.gate(cut, start, len(block[old_file]))
            return {old_file: block[old_file] - taken, new_file: taken}

        edit.sound([old_file], [old_file, new_file], move)
        entry = edit.entry(voice)
        told: dict[str, Any] = {"id": new, "kind": "voice", "label": label, "audio": new_file}
        told |= dict.fromkeys(("video", "thumbnail", "box", "appearances"))
        _set_speaking(told, _common(_speaking(voice), cut) or cut)
        told |= {"speech_probability": entry.get("speech_probability", 0.0), "confidence": None, "warnings": []}
        _set_speaking(entry, _without(_speaking(voice), cut))
        edit.content["tracks"].insert(edit.content["tracks"].index(entry) + 1, told)
        edit.renew_video(entry)
        edit.note({"change": "split", "track": voice.id, "into": new, "spans": _times(cut)})

    return _edited(folder, change)


def seen_together(one: ResultTrack, other: ResultTrack) -> float | None:
    """Time in seconds at which the faces of both are in the picture for the first time; None where they never are."""
    left, right = list(one.appearances[::-1]), list(other.appearances[::-1])
    while left and right:
        start = max(left[-1].start, right[-1].start)
        if start < min(left[-1].end, right[-1].end):
            return start
        (left if left[-1].end < right[-1].end else right).pop()
    return None


def _edited(folder: Path | str, change: Callable[[_Edit], None]) -> Result:
    """The result with a change, written beside it and put in its place when all of it is there."""
    folder = Path(folder).absolute()
    read_result(folder)
    try:
        with locked(folder), workspace(folder, overwrite=True) as partial:
            edit = _Edit(read_result(folder), partial)
            change(edit)
            edit.finish()
    except OSError as error:
        raise OutputError(f"{folder}: cannot be changed ({error.strerror}). Nothing was changed") from error
    return read_result(folder)


class _Edit:
    """A change of a result in the making: `content` becomes its manifest, files are written into `partial`."""

    def __init__(self, result: Result, partial: Path) -> None:
        self.result, self.partial = result, partial
        self.content: dict[str, Any] = copy.deepcopy(dict(result.manifest))

    def voice(self, name: str) -> ResultTrack:
        track = self.result.track(name)
        if not track.is_voice:
            raise InputError(f"{self.result.folder}: {track.name} is a {track.kind}, and only people are changed")
        return track

    def entry(self, track: ResultTrack) -> dict[str, Any]:
        return next(entry for entry in self.content["tracks"] if entry["id"] == track.id)

    def own(self, name: str) -> None:
        """Raise InputError for a link: what is elsewhere must not come into the result."""
        if (self.result.folder / name).is_symlink():
            raise InputError(f"{self.result.folder / name}: is a link. Put the file itself there")

    def residual(self) -> str:
        if self.result.residual is None:
            raise InputError(f"{self.result.folder}: has no residual to take the sound. Separate the clip again")
        return self.result.residual.name

    def spans(self, spans: Sequence[Span]) -> list[Span]:
        """In order and within the clip. Raises UsageError."""
        for start, end in spans:
            if not 0 <= start < end or not start < self.result.seconds:
                raise UsageError(
                    f"{start:g}-{end:g} s is no part of the clip. Give times from 0 to {self.result.seconds:g} s, the"
                    " end after the start"
                )
        if not spans:
            raise UsageError("no stretch of time is given. Give one or more, in seconds")
        return _united(Span(start, min(end, self.result.seconds)) for start, end in spans)

    def new_id(self) -> str:
        """A name for a new voice's files that is not in use, by whatever."""
        names = {*os.listdir(self.result.folder), *(track.id for track in self.result.tracks)}
        taken = {int(found[1]) for name in names if (found := re.match(r"speaker_(\d+)(\.|$)", name))}
        return next(f"speaker_{n:02d}" for n in range(len(taken) + 1) if n not in taken)

    def gate(self, spans: Sequence[Span], start: int, frames: int) -> np.ndarray:
        """1 in the spans, 0 outside, with fades: (frames, 1) float32 for samples from `start` on."""
        rate = self.result.sample_rate
        seconds = (start + np.arange(frames)) / rate
        gate = np.zeros(frames)
        for begin, end in spans:
            if begin - FADE_SECONDS <= seconds[-1] and end + FADE_SECONDS >= seconds[0]:
                inside = np.minimum(seconds - begin, end - seconds) / FADE_SECONDS + 1
                gate = np.maximum(gate, inside.clip(0, 1))
        return gate.astype(np.float32)[:, None]

    def sound(self, read: Sequence[str], written: Sequence[str], change: Callable[[Block, int], Block]) -> None:
        """Let `change` make the samples of some files of others', block by block, with the number of the first one."""
        sources: dict[str, soundfile.SoundFile] = {}
        writers: dict[str, WavWriter] = {}
        try:
            for name in read:
                self.own(name)
                sources[name] = soundfile.SoundFile(os.fsencode(self.result.folder / name))
            first = sources[read[0]]
            if len({(one.frames, one.channels, one.samplerate) for one in sources.values()}) > 1:
                raise InputError(
                    f"{self.result.folder}: {' and '.join(read)} differ in length. Separate the clip again"
                )
            for name in written:
                writers[name] = WavWriter(self.partial / name, first.samplerate, first.channels)
            for start in range(0, first.frames, _BLOCK_FRAMES):
                samples = {
                    name: source.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
                    for name, source in sources.items()
                }
                for name, made in change(samples, start).items():
                    writers[name].write(made.T)
            for name in written:
                writers.pop(name).close()
        except soundfile.SoundFileError as error:
            raise InputError(f"{self.result.folder}: {' or '.join(read)} cannot be read ({error})") from error
        finally:
            for source in sources.values():
                source.close()
            for writer in writers.values():
                with suppress(OutputError):  # there is an error under way already
                    writer.close()

    def renew_video(self, entry: dict[str, Any]) -> None:
        """The track's video with its new sound; without it where that cannot be made, which `warnings` says."""
        name = entry.get("video")
        if not name:
            return
        lead = -self.result.picture_begin
        try:
            self.own(name)
            replace_sound(self.result.folder / name, self.partial / entry["audio"], self.partial / name, lead)
        except InputError as error:
            (self.partial / name).unlink(missing_ok=True)
            entry["video"] = None
            entry["warnings"] = [*entry.get("warnings", []), f"its video could not be made anew: {error}"]

    def merge_faces(self, kept: ResultTrack, other: ResultTrack) -> None:
        """One face for both tracks: where a person was taken for two, who are never seen at once, it is seen with
        each."""
        faces = read_faces(self.result.folder)
        rows = faces.pop(other.id, [])
        apart = seen_together(kept, other) is None
        if apart and kept.kind == other.kind == "person":
            self.entry(kept)["appearances"] = _times(sorted([*kept.appearances, *other.appearances]))
            if kept.id in faces:
                faces[kept.id] = sorted([*faces[kept.id], *rows])
        if FACES in self.content.get("files", []):
            write_faces(self.partial / FACES, faces)

    def note(self, what: dict[str, Any]) -> None:
        self.content["changes"] = [*self.content.get("changes", []), what]

    def finish(self) -> None:
        """Write the manifest and take over what is unchanged."""
        set_speakers(self.content)
        note_outdated(self.content, self.result.manifest)
        manifest.write(self.partial / MANIFEST, self.content)
        gone = _named(self.result.manifest) - _named(self.content)
        for name in own_files(self.result.folder) - gone - set(os.listdir(self.partial)):
            take_over(self.result.folder / name, self.partial / name)


def _named(content: Mapping[str, Any]) -> set[str]:
    """Files of the tracks of a manifest."""
    return {entry[key] for entry in content["tracks"] for key in ("audio", "video", "thumbnail") if entry.get(key)}


def take_over(source: Path, target: Path) -> None:
    """The same file by another name, as a link where the file system has links. Raises OSError."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # some file systems have no links
        shutil.copy2(source, target, follow_symlinks=False)


def _speaking(track: ResultTrack) -> list[Span]:
    return list(track.speaking or ())


def _set_speaking(entry: dict[str, Any], spans: Sequence[Span]) -> None:
    entry["speaking"] = _times(spans)


def _times(spans: Sequence[Span]) -> list[dict[str, float]]:
    return manifest.times(spans)


def _united(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that touch or overlap as one."""
    united: list[Span] = []
    for span in sorted(spans):
        if united and span.start <= united[-1].end:
            united[-1] = Span(united[-1].start, max(united[-1].end, span.end))
        else:
            united.append(span)
    return united


def _without(spans: Sequence[Span], cut: Sequence[Span]) -> list[Span]:
    """What of the spans lies in none of `cut`."""
    for one in cut:
        pieces = [(Span(s.start, min(s.end, one.start)), Span(max(s.start, one.end), s.end)) for s in spans]
        spans = [piece for pair in pieces for piece in pair if piece.start < piece.end]
    return list(spans)


def _common(spans: Sequence[Span], cut: Sequence[Span]) -> list[Span]:
    """What of the spans lies in `cut`."""
    pieces = [Span(max(s.start, one.start), min(s.end, one.end)) for s in spans for one in cut]
    return [piece for piece in pieces if piece.start < piece.end]
