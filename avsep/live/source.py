"""Sound that comes in on a file descriptor: WAV, or raw samples."""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avsep.errors import InputError, UsageError
from avsep.live import wav
from avsep.live.samples import FORMATS, SampleFormat, without_damage
from avsep.live.stopping import Stopping

MOST_SECONDS = 0.25
"""Of sound that is taken at once, where more than a piece has gathered: larger pieces cost less."""
PIPE_BYTES = 1 << 20
"""What a pipe holds at most, unless root enlarges it."""

_OTHERS = {
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"\xff\xfa": "MP3",
    b"\xff\xf3": "MP3",
    b"\xff\xf2": "MP3",
    b"FORM": "AIFF",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"caff": "CAF",
    b".snd": "AU",
    b"RIFF": "AVI or another RIFF without sound",
    b"RF64": "RF64 without sound",
    b"\x30\x26\xb2\x75": "WMA or WMV",
}


class Source(Protocol):
    """Where sound comes from. waited: whether the last piece had to be waited for, so nothing has gathered behind it;
    lost: how often the source had to throw sound away."""

    rate: int
    channels: int
    waited: bool
    lost: int

    def pieces(self) -> Iterator[np.ndarray]:
        """(channels, time) float32 each, at least a chunk but for the last."""

    def rest(self) -> np.ndarray:
        """What came in after the last piece, when the stream is ended from outside: (channels, time)."""


@dataclass(frozen=True)
class Raw:
    """How to take bytes that are no WAV. format: "auto" looks for a WAV's head first, "wav" takes nothing else. rate,
    channels: None for 16 kHz and one; a WAV must have those that are given."""

    format: str = "auto"
    rate: int | None = None
    channels: int | None = None


class PipeSource:
    """Standard input, or another file descriptor.

    The head of a WAV is read at once. A WAV whose length is not told, or told as 0 or as 2 GB and more, goes on to the
    end of the input. Half a frame at the end is left out, samples that are not finite become silence; `tell` gets a
    line about each.

    container: "wav" or "raw". Raises InputError where no frame comes, or what comes is of another kind; UsageError
    where it is a WAV of another rate or other channels than `raw` gives.
    """

    def __init__(
        self, number: int, chunk_seconds: float, stopping: Stopping, tell: Callable[[str], None], raw: Raw | None = None
    ) -> None:
        self.number, self.stopping, self.tell = number, stopping, tell
        self._buffer = bytearray()
        self._ended = False
        self.waited, self.lost = True, 0
        self._left: int | None = None
        self._open(raw or Raw())
        self.chunk = max(1, round(chunk_seconds * self.rate))

    def _open(self, raw: Raw) -> None:
        start = self._peek(12) if raw.format in ("auto", "wav") else b""
        self.format: SampleFormat
        if wav.is_wav(start):
            self._take(12)
            head = wav.read_head(self._exactly)
            self.container, self.format, self.rate, self.channels = "wav", head.format, head.rate, head.channels
            self._left = head.frames
            _check_given(raw, head)
        elif raw.format == "wav":
            found = f"it begins with {start!r}" if start else "nothing came"
            raise InputError(f"standard input is no WAV ({found}). Pipe it through ffmpeg -i ... -f wav -")
        else:
            if kind := _other_kind(start):
                raise InputError(
                    f"standard input is {kind}; WAV and raw samples can be read. Pipe it through"
                    " ffmpeg -i - -f wav -, or give the --format of samples that begin like this by chance"
                )
            name = "s16le" if raw.format == "auto" else raw.format
            self.container, self.format = "raw", FORMATS[name]
            self.rate, self.channels = raw.rate or 16_000, raw.channels or 1
        self._block = self.format.width * self.channels
        if self._left == 0 or len(self._peek(self._block)) < self._block:
            raise InputError(
                f"standard input: nothing came, not even a frame of {self._block} bytes. Pipe sound into it, e.g."
                " ffmpeg -i FILE -f wav - |"
            )
        if self.container == "raw" and raw == Raw():
            self.tell(
                f"no WAV head on standard input: taken as {self.format.name}, {self.rate} Hz, {self.channels}"
                " channel(s). Give --format, --rate and --channels for something else"
            )

    def pieces(self) -> Iterator[np.ndarray]:
        """(channels, time) float32: whatever has come in, a chunk at least."""
        most = max(self.chunk, round(MOST_SECONDS * self.rate))
        while self._left != 0:  # behind the sound of a WAV nothing is waited for
            least = self.chunk if self._left is None else min(self.chunk, self._left)
            self._fill(least * self._block, most * self._block)
            piece = self._whole_frames()
            if not piece.shape[1]:
                break
            yield piece
        if self._left:
            self.tell(f"standard input ended {self._left / self.rate:.2f} s before the end that its head tells")
        elif self._left is None and self._buffer:
            self.tell(f"the last {len(self._buffer)} bytes are no whole frame of {self._block}, and are left out")

    def rest(self) -> np.ndarray:
        """What came in and was not given yet: (channels, time). It is not waited for; a file is not read on."""
        kind = os.fstat(self.number).st_mode
        if (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)) and select.select([self.number], [], [], 0)[0]:
            with suppress(OSError):
                self._buffer += os.read(self.number, PIPE_BYTES)
        return self._whole_frames()

    def _whole_frames(self) -> np.ndarray:
        frames = len(self._buffer) // self._block
        if self._left is not None:
            frames = min(frames, self._left)
            self._left -= frames
        samples = self.format.decode(self._take(frames * self._block), self.channels)
        return without_damage(samples, self._damage)

    def _damage(self, count: int) -> None:
        self.tell(f"{count} samples that are not finite or far beyond full scale became silence")

    def _fill(self, least: int, most: int) -> None:
        """Wait until `least` bytes are there, or the input ends; take up to `most` that are there already."""
        self.waited = False
        while len(self._buffer) < least and not self._ended:
            with self.stopping.reading():
                if not select.select([self.number], [], [], 0)[0]:
                    self.waited = True
                    select.select([self.number], [], [])
            try:
                data = os.read(self.number, most - len(self._buffer))  # there already: a signal here loses nothing
            except BlockingIOError:
                continue
            except OSError as error:
                raise InputError(f"standard input cannot be read ({error.strerror}). Look at what feeds it") from error
            self._buffer += data
            self._ended = not data

    def _peek(self, count: int) -> bytes:
        self._fill(count, count)
        return bytes(self._buffer[:count])

    def _exactly(self, count: int) -> bytes:
        self._fill(count, count)
        return self._take(min(count, len(self._buffer)))

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data


def _other_kind(start: bytes) -> str | None:
    """What these first bytes are of, where it is known and no WAV."""
    if start[4:8] == b"ftyp":
        return "MP4"
    return next((kind for sign, kind in _OTHERS.items() if start.startswith(sign)), None)


def _check_given(raw: Raw, head: wav.WavHead) -> None:
    for option, given, told in (("--rate", raw.rate, head.rate), ("--channels", raw.channels, head.channels)):
        if given not in (None, told):
            raise UsageError(
                f"{option} {given}, but the head of the WAV on standard input tells {told}. Leave it out, or give the"
                " --format of raw samples to take the head for sound"
            )
