"""Sound files of a corpus: read by libsndfile and, where it gives up, by FFmpeg.

libsndfile opens neither AAC nor MP4. It stops inside of some Opus files that FFmpeg plays ("malformed": the page's
position does not count its samples), and silently in the middle of an MP3 that was cut off. Only reading tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile as sf

from avsep.dsp.resample import resample
from avsep.errors import InputError
from avsep.media.checks import check_plain_file, check_sound
from avsep.signals import Audio

TOLERANCE_SECONDS = 0.1
"""How much shorter than its header says a file may be: decoders differ by a block."""

_MARGIN_SECONDS = 0.1
"""Decoded before and after a stretch that is resampled, so that the filter's ends fall outside."""

_TAIL = 4096
_BLOCK = 1 << 18


class SoundReader:
    """An open sound file. sample_rate in Hz; frames: its length in samples, by its header; channels.

    Raises InputError for a file that is gone or no sound.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_plain_file(path)
        self._file: sf.SoundFile | None
        try:
            self._file = sf.SoundFile(os.fsencode(path))  # a str may hold bytes that soundfile cannot encode
        except (sf.LibsndfileError, OSError):
            from avsep.media.decode import probe

            self._file = None
            clip = probe(path)
            self.sample_rate, self.channels = clip.audio.sample_rate, clip.audio.channels
            self.frames = round(clip.duration_seconds * self.sample_rate)
        else:
            self.sample_rate, self.channels = self._file.samplerate, self._file.channels
            self.frames = self._file.frames
            check_sound(path, self.sample_rate, self.channels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate

    def read(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """(time, channels) float32 from sample `first` up to `last`, or to the end of the file where that is sooner.

        Behind a joint of an Opus stream samples are counted as its pages do: 0.01 s off from a reading of the whole.
        Raises InputError where a part of it is damaged or missing.
        """
        wanted = max(0, self.frames if last is None else min(last, self.frames)) - first
        if last is not None and wanted <= 0:
            return np.zeros((0, self.channels), np.float32)
        stopped = self._file is None
        if self._file is not None:
            try:
                self._file.seek(first)
                samples = self._file.read(-1 if last is None else wanted, dtype="float32", always_2d=True)
            except sf.LibsndfileError:
                stopped = True
            else:
                if self._is_whole(samples, wanted):
                    return samples
        samples = self._decode(first, last)
        if stopped and not self._is_whole(samples, wanted):
            raise InputError(
                f"{self.path}: the sound ends at {(first + len(samples)) / self.sample_rate:.2f} s,"
                f" {self.seconds:.2f} s were announced: the file may be cut off. Copy or download it again"
            )
        return samples

    def _is_whole(self, samples: np.ndarray, wanted: int) -> bool:
        return len(samples) >= wanted - TOLERANCE_SECONDS * self.sample_rate

    def _decode(self, first: int, last: int | None) -> np.ndarray:
        """The same by FFmpeg, which may know another rate than the header's."""
        margin = round(_MARGIN_SECONDS * self.sample_rate)
        begin = max(0, first - margin)
        start, end = begin / self.sample_rate, None if last is None else (last + margin) / self.sample_rate
        blocks = list(decoded(self.path, start=start or None, end=end))
        samples = np.concatenate([block.samples for block in blocks], axis=1)
        if len(samples) != self.channels:
            raise InputError(
                f"{self.path}: its header tells of {self.channels} channel(s), its sound is of {len(samples)}: the file"
                " is damaged. Copy or download it again"
            )
        samples = resample(samples, blocks[0].sample_rate, self.sample_rate)
        return samples[:, first - begin : None if last is None else last - begin].T


def sound_seconds(path: Path) -> float:
    """Length of a sound file by its header. Raises InputError as SoundReader, and for a file without a sample."""
    with SoundReader(path) as file:
        if not file.frames:
            raise InputError(f"{path}: holds no samples (0 s)")
        return file.seconds


def sound_channels(path: Path) -> int:
    """Channels of a sound file by its header. Raises InputError as SoundReader."""
    with SoundReader(path) as file:
        return file.channels


def whole_seconds(path: Path) -> float | None:
    """Length of a file that libsndfile reads to its end; None when it does not, and `decoded` is to be asked."""
    try:
        check_plain_file(path)
        with sf.SoundFile(os.fsencode(path)) as file:
            # Only Ogg and MP3 end inside of themselves; others keep what their header says, if the last of it is there.
            if file.format not in ("OGG", "MP3"):
                file.seek(max(0, file.frames - _TAIL))
            frames = file.tell()
            while len(block := file.read(_BLOCK, dtype="float32")):
                frames += len(block)
            whole = frames >= file.frames - TOLERANCE_SECONDS * file.samplerate
            return frames / file.samplerate if whole else None
    except (InputError, sf.LibsndfileError, OSError):
        return None


def decoded(
    path: Path, *, stream: int | None = None, start: float | None = None, end: float | None = None
) -> Iterator[Audio]:
    """The sound of a file as FFmpeg reads it, in blocks of a second; for the arguments see `probe`.

    Raises InputError when there is none, and at the end when a part of it was damaged or missing.
    """
    from avsep.media.decode import probe, read_audio

    complaints: list[str] = []
    yield from read_audio(probe(path, audio_stream=stream, start=start, end=end), complaints.append)
    if complaints:
        raise InputError(complaints[0])
