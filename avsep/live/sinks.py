"""Where separated sound goes to: standard output, files, other file descriptors."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from select import PIPE_BUF
from typing import Protocol

import numpy as np

from avsep.errors import OutputError, UsageError
from avsep.live import wav
from avsep.live.samples import SampleFormat
from avsep.live.stopping import Stopping

_CONTAINERS = {".wav": "wav", ".raw": "raw", ".pcm": "raw"}
_OTHER_ENDINGS = (
    *(".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"),
    *(".wma", ".wv", ".mp4", ".mov", ".mka", ".mkv", ".webm", ".avi"),
)
"""Of files of sound, or with sound, that others can write."""


class Sink(Protocol):
    """What takes the sources. gone: nobody reads any more; late: how often it had nothing to play."""

    gone: bool
    late: int

    def write(self, sources: np.ndarray) -> None:
        """(sources, time) float32."""

    def close(self) -> None:
        """The end of the stream."""


@dataclass(frozen=True)
class Sound:
    """How sound is written. container: "wav" or "raw"."""

    container: str
    format: SampleFormat
    rate: int


class PipeSink:
    """Samples written without a buffer of ours. The head of a WAV tells no length; where the place can be written to
    again, as in a file, it is set at the end.

    which: the sources that go there, as its channels. Raises OutputError where writing fails, but for a reader that
    went away: then it is `gone`.
    """

    def __init__(self, number: int, name: str, which: slice, count: int, sound: Sound, stopping: Stopping) -> None:
        self.number, self.name, self.which, self.channels = number, name, which, count
        self.sound, self.stopping = sound, stopping
        self.gone, self.late = False, 0
        self.frames = 0
        # Where the head lies, of a file that was written to before, as by `(echo; avsep stream) > file`.
        self.place = _place(number) if sound.container == "wav" else None
        self._put(self._head(None))

    def write(self, sources: np.ndarray) -> None:
        """(sources, time) -> its channels."""
        if sources.shape[1]:
            self.frames += sources.shape[1]
            self._put(self.sound.format.encode(sources[self.which]))

    def close(self) -> None:
        """Set the length in the head of a file."""
        if self.place is not None and not self.gone:
            if self.frames * self.channels * self.sound.format.width % 2:
                self._put(b"\0")
            with suppress(OSError):  # opened to append: the length stays unknown
                os.pwrite(self.number, self._head(self.frames), self.place)
        if self.number > 2:
            with suppress(OSError):
                os.close(self.number)

    def _head(self, frames: int | None) -> bytes:
        if self.sound.container != "wav":
            return b""
        return wav.write_head(self.sound.format, self.sound.rate, self.channels, frames)

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest and not self.gone:
                self.stopping.wait_to_write(self.number)
                rest = rest[os.write(self.number, rest[:PIPE_BUF]) :]
        except (BrokenPipeError, ConnectionResetError):
            self.gone = True
        except OSError as error:
            raise OutputError(
                f"{self.name} cannot be written ({error.strerror}). What was written before stays; look at the disk,"
                " or at what reads it"
            ) from error


def open_sinks(
    outs: Sequence[str],
    sources: int,
    sound: Sound,
    stopping: Stopping,
    *,
    overwrite: bool,
    source: int,
    by_name: bool = True,
) -> list[PipeSink]:
    """No sink, one for all sources, or one for each; each "-" (standard output), the number of a file descriptor, or a
    file. `source`: the file descriptor that is read, which no file may be, or -1. by_name: the container of a file is
    what its name ends in.

    Raises UsageError for other numbers of them or the same one twice, OutputError for one that cannot be opened. Then
    files that existed are as they were, and no other is left.
    """
    check_outs(outs, sources)
    existed = {out: _existed(out, overwrite, source) for out in outs if out != "-" and not out.isdecimal()}
    numbers: list[int] = []
    try:
        for out in outs:
            number = _open(out, existed[out]) if out in existed else _descriptor(out)
            numbers.append(number)
        _check_apart(outs, numbers)
        for out, number in zip(outs, numbers, strict=True):
            if out in existed and stat.S_ISREG(os.fstat(number).st_mode):
                os.ftruncate(number, 0)
        return [
            PipeSink(
                number,
                "standard output" if number == 1 else f"file descriptor {out}" if out.isdecimal() else out,
                slice(0, sources) if len(outs) == 1 else slice(index, index + 1),
                sources if len(outs) == 1 else 1,
                replace(sound, container=(_container(out) if by_name else None) or sound.container),
                stopping,
            )
            for index, (out, number) in enumerate(zip(outs, numbers, strict=True))
        ]
    except BaseException:
        for out, number in zip(outs, numbers, strict=False):  # those that were opened
            if out in existed:
                os.close(number)
                if not existed[out]:
                    Path(out).resolve().unlink(missing_ok=True)
        raise


def check_outs(outs: Sequence[str], sources: int) -> None:
    """Raise UsageError where the outputs do not fit the sources, one is given twice, or is named as what cannot be
    written."""
    if len(outs) not in (0, 1, sources):
        raise UsageError(
            f"--out is given {len(outs)} times, but there are {sources} sources. Give one --out for each, or one for"
            " all"
        )
    places = ["1" if out == "-" else out for out in outs]
    for out in outs:
        if places.count("1" if out == "-" else out) > 1:
            raise UsageError(f"--out {out} is given twice. Give each source a place of its own")
        if (ending := Path(out).suffix.lower()) in _OTHER_ENDINGS:
            raise UsageError(
                f"--out {out}: {ending} cannot be written, but {', '.join(_CONTAINERS)}. Give one of these, or pipe"
                " standard output through ffmpeg"
            )
        if out.isdecimal():
            try:
                os.fstat(int(out))
            except (OSError, OverflowError) as error:
                raise UsageError(
                    f"--out {out}: no file descriptor {out} is open. Open it, e.g. {out}>FILE behind the command; a"
                    f" file of that name is ./{out}"
                ) from error


def _container(out: str) -> str | None:
    """What the name of a file asks for."""
    return _CONTAINERS.get(Path(out).suffix.lower())


def _descriptor(out: str) -> int:
    return 1 if out == "-" else int(out)


def _existed(out: str, overwrite: bool, source: int) -> bool:
    """Whether there is a file. Raises UsageError for the one that is read, OutputError for one that is to stay."""
    try:
        found = os.stat(out)
    except (OSError, ValueError):
        return False
    if stat.S_ISREG(found.st_mode):
        if source >= 0 and os.path.samestat(found, os.fstat(source)):
            raise UsageError(f"--out {out} is the file that is read. Give another one")
        if not overwrite:
            raise OutputError(f"{out} exists. Give --overwrite to replace it, or another --out")
    return True


def _open(out: str, existed: bool) -> int:
    """Nothing of a file is changed."""
    try:
        return os.open(out, os.O_WRONLY | os.O_CLOEXEC | (0 if existed else os.O_CREAT), 0o666)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write {out} ({reason}). Check the name, its folder and permissions") from error


def _check_apart(outs: Sequence[str], numbers: Sequence[int]) -> None:
    """Raise UsageError where two outputs are one file or one pipe, by whatever names."""
    seen: dict[tuple[int, int], str] = {}
    for out, number in zip(outs, numbers, strict=True):
        found = os.fstat(number)
        if stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode):
            other = seen.setdefault((found.st_dev, found.st_ino), out)
            if other != out:
                raise UsageError(f"--out {other} and --out {out} are the same. Give each source a place of its own")


def _place(number: int) -> int | None:
    """Where the next byte goes in a plain file; None where there is no going back."""
    try:
        return os.lseek(number, 0, os.SEEK_CUR) if stat.S_ISREG(os.fstat(number).st_mode) else None
    except OSError:
        return None
