"""Sound that comes in on a file descriptor: WAV, or raw samples."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from avsep.errors import InputError
from avsep.live import wav
from avsep.live.samples import FORMATS, SampleFormat, without_damage
from avsep.live.stopping import Stopping
from avsep.media.checks import check_sound

MOST_SECONDS = 0.25
"""Of sound that is taken at once, where more than a piece has gathered: larger pieces cost less."""

_OTHERS = {
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b"FORM": "AIFF",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"caff": "CAF",
    b".snd": "AU",
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
    """How to take bytes that are no WAV. format: "auto" looks for a WAV's head first; "wav" takes nothing else."""

    format: str = "auto"
    rate: int = 16_000
    channels: int = 1


class PipeSource:
    """Standard input, or another file descriptor.

    The head of a WAV is read at once. A WAV whose length is not told, or told as 0 or as 2 GB and more, goes on to the
    end of the input. Half a frame at the end is left out, samples that are not finite become silence; `tell` gets a
    line about each.

    container: "wav" or "raw". Raises InputError where nothing comes, or what comes is of another kind.
    """

    def __init__(
        self, number: int, chunk_seconds: float, stopping: Stopping, tell: Callable[[str], None], raw: Raw | None = None
    ) -> None:
        self.number, self.stopping, self.tell = number, stopping, tell
        self._buffer = bytearray()
        self._ended = False
        self.waited, self.lost = True, 0
        self._left: int | None = None
        raw = raw or Raw()
        self._open(raw)
        self.chunk = max(1, round(chunk_seconds * self.rate))

    def _open(self, raw: Raw) -> None:
        start = self._peek(12) if raw.format in ("auto", "wav") else b""
        self.format: SampleFormat
        if wav.is_wav(start):
            self._take(12)
            head = wav.read_head(self._exactly)
            self.container, self.format, self.rate, self.channels = "wav", head.format, head.rate, head.channels
            self._left = head.frames
        elif raw.format == "wav":
            found = f"it begins with {start!r}" if start else "nothing came"
            raise InputError(f"standard input is no WAV ({found}). Pipe it through ffmpeg -i ... -f wav -")
        else:
            for sign, kind in _OTHERS.items():
                if start.startswith(sign):
                    raise InputError(
                        f"standard input is {kind}; WAV and raw samples can be read. Pipe it through"
                        " ffmpeg -i - -f wav -"
                    )
            name = "s16le" if raw.format == "auto" else raw.format
            self.container, self.format, self.rate, self.channels = "raw", FORMATS[name], raw.rate, raw.channels
            if not self._peek(1):
                raise InputError("standard input: nothing came. Pipe sound into it, e.g. ffmpeg -i FILE -f wav - |")
            if raw.format == "auto":
                self.tell(
                    f"no WAV head on standard input: taken as {name}, {raw.rate} Hz, {raw.channels} channel(s)."
                    " Give --format, --rate and --channels for something else"
                )
        check_sound(Path("standard input"), self.rate, self.channels)

    def pieces(self) -> Iterator[np.ndarray]:
        """(channels, time) float32: whatever has come in, a chunk at least."""
        block = self.format.width * self.channels
        most = max(self.chunk, round(MOST_SECONDS * self.rate)) * block
        while True:
            self._fill(self.chunk * block, most)
            piece = self.rest()
            if not piece.shape[1]:
                break
            yield piece
        if self._left:
            self.tell(f"standard input ended {self._left / self.rate:.2f} s before the end that its head tells")
        elif self._ended and len(self._buffer) % block and self._left is None:
            self.tell(f"the last {len(self._buffer)} bytes are no whole frame of {block}, and are left out")

    def rest(self) -> np.ndarray:
        """The whole frames that came in and were not given yet: (channels, time)."""
        block = self.format.width * self.channels
        frames = len(self._buffer) // block
        if self._left is not None:
            frames = min(frames, self._left)
            self._left -= frames
        samples = self.format.decode(self._take(frames * block), self.channels)
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
                    data = os.read(self.number, most - len(self._buffer))
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise InputError(
                        f"standard input cannot be read ({error.strerror}). Look at what feeds it"
                    ) from error
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
