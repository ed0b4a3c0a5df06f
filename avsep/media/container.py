"""Open a media file and decode one of its streams, however damaged it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from avsep.errors import InputError
from avsep.media.checks import check_plain_file
from avsep.media.formats import OPEN_OPTIONS

if TYPE_CHECKING:
    from av.container import InputContainer

_MAX_READ_ERRORS = 20
"""Read errors in a row after which the rest of a file is given up."""


@dataclass
class Damage:
    """What could not be decoded of one stream: how much, and where it began; and the same of bad time stamps."""

    count: int = 0
    first_seconds: float | None = None
    cut_short: bool = False
    bad_stamps: int = 0
    first_bad_stamp: float | None = None  # the time it should have told
    fresh: bool = field(default=False, repr=False)  # something was lost since the last good frame

    def add(self, seconds: float | None) -> None:
        self.count += 1
        self.fresh = True
        if self.first_seconds is None:
            self.first_seconds = seconds

    def add_stamp(self, seconds: float) -> None:
        self.bad_stamps += 1
        if self.first_bad_stamp is None:
            self.first_bad_stamp = seconds


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open `path` for reading. Raises InputError that says what is wrong with it."""
    check_plain_file(path)
    try:
        # The prefix keeps a name such as "take:1.mp4" from being read as a protocol.
        container = av.open(f"file:{path}", options=dict(OPEN_OPTIONS), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise InputError(_why_unreadable(path, error)) from error
    try:
        yield container
    finally:
        container.close()


def _why_unreadable(path: Path, error: Exception) -> str:
    head = path.open("rb").read(4096)
    if head[4:8] == b"ftyp" and not _has_moov(path):
        return (
            f"{path}: is incomplete: its index (moov atom) is missing, as in a cut-off download or an unfinished"
            " recording. Copy or download it again, or repair it with the program that recorded it"
        )
    if not any(byte < 9 or 13 < byte < 27 for byte in head):
        return (
            f"{path}: holds text, not sound or pictures; a playlist is not followed. Give a video or audio file, of a"
            " playlist those that it names"
        )
    if isinstance(error, av.ArgumentError):
        return (
            f"{path}: is not of a kind that is opened: video and audio files that hold their sound and pictures"
            " themselves. Convert it to MP4 or WAV"
        )
    reason = getattr(error, "strerror", None) or str(error)
    return (
        f"{path}: is not a media file that can be read, or is damaged ({reason})."
        " Check that it plays in a media player; if it does not, copy or convert it again"
    )


def _has_moov(path: Path) -> bool:
    """Whether a file of MP4 boxes has its index among the boxes of the first level."""
    end = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        while at + 8 <= end:
            file.seek(at)
            header = file.read(16)
            size, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if kind == b"moov":
                return at + size <= end
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8:
                return False
            at += size
    return False


def decode(
    container: InputContainer,
    stream: Any,
    damage: Damage,
    *,
    skip_before: float | None = None,
) -> Iterator[Any]:
    """Decode a stream from where the container stands to its end, passing over what is broken.

    What fails is counted in `damage`. Packets that end before `skip_before` (seconds of the container)
    are read but not decoded.
    """
    for packet in demux(container, stream, damage):
        at = packet.pts if packet.pts is not None else packet.dts
        seconds = None if at is None else float(at * stream.time_base)
        if skip_before is not None and seconds is not None and packet.size:
            if seconds + float((packet.duration or 0) * stream.time_base) < skip_before:
                continue
            skip_before = None
        try:
            frames = packet.decode()
        except EOFError:
            return
        except (av.FFmpegError, ValueError):
            damage.add(seconds)
            continue
        yield from frames


def demux(container: InputContainer, stream: Any, damage: Damage) -> Iterator[Any]:
    """Packets of a stream, read errors passed over and counted in `damage`; the last ones may be empty."""
    errors = 0
    while True:
        try:
            for packet in container.demux(stream):
                errors = 0
                yield packet
            return
        except EOFError:
            return
        except av.FFmpegError:
            errors += 1
            damage.add(None)
            if errors > _MAX_READ_ERRORS:
                damage.cut_short = True
                return


def frame_seconds(frame: Any) -> float | None:
    """Time of a frame on the container's clock, None where it carries none."""
    if frame.pts is None or frame.time_base is None:
        return None
    return float(Fraction(frame.pts) * frame.time_base)
