"""Sound of a result for a browser: short pieces of all tracks at once, and the outlines of their waves."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from avsep.errors import InputError
from avsep.page.catalog import open_plain

CHUNK_SECONDS = 2
"""Of a piece of sound. All tracks of 48 kHz stereo come to 2 MB."""
TILE_SECONDS, BINS_PER_SECOND = 60, 100
"""Of a piece of an outline. A bin is a pixel at the closest look."""
_MOST_TILES = 1024
"""Kept in memory: some 60 kB each."""
_FULL = 32767
_HIGHEST_RATE = 768_000
"""Hz. What browsers play, and a bound on the size of a piece."""


def shape(file: Path) -> tuple[int, int]:
    """Channels that the page plays of a file, one or two, and its sample rate. Raises InputError and NotFound."""
    with _open(file) as sound:
        if not sound.samplerate <= _HIGHEST_RATE:
            raise InputError(f"{file.name}: has {sound.samplerate} Hz; the page plays {_HIGHEST_RATE} Hz at most")
        return min(sound.channels, 2), sound.samplerate


def chunk(files: Sequence[Path], number: int, channels: int, rate: int) -> tuple[bytes, float]:
    """Piece `number` of every file as 16-bit integers (files, channels, time) in the byte order of all browsers, and
    what they are to be multiplied with. Beyond a file's end is silence."""
    frames = CHUNK_SECONDS * rate
    samples = np.stack([_read(file, number * frames, frames, channels) for file in files])
    peak = float(np.abs(samples).max(initial=0.0))
    scale = max(1.0, peak if np.isfinite(peak) else 1.0) / _FULL
    whole = np.nan_to_num(samples / np.float32(scale)).round().clip(-_FULL, _FULL)
    return whole.astype("<i2").tobytes(), scale


def outline(files: Sequence[Path], number: int, rate: int) -> bytes:
    """Lowest and highest value of each bin of piece `number`, 8-bit integers (files, bins, 2) of full scale."""
    frames = TILE_SECONDS * rate
    edges = np.arange(TILE_SECONDS * BINS_PER_SECOND) * rate // BINS_PER_SECOND
    found = np.zeros((len(files), len(edges), 2), np.int8)
    for row, file in zip(found, files, strict=True):
        samples = _read(file, number * frames, frames, None)
        for column, of in enumerate((np.minimum, np.maximum)):
            values = of.reduceat(of.reduce(samples, axis=0), edges)
            row[:, column] = np.nan_to_num(values * 127).round().clip(-127, 127)
    return found.tobytes()


class Outlines:
    """Outlines, the latest kept in memory. One is made at a time, so that pieces of sound do not wait for them."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, version: str, number: int, make: Callable[[], bytes]) -> bytes:
        key = version, number
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > _MOST_TILES:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]


def _open(file: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(open_plain(file), closefd=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"{file.name}: is no sound ({error}). Separate the clip again with --overwrite") from error


def _read(file: Path, start: int, frames: int, channels: int | None) -> np.ndarray:
    """(channels, frames) float32, silence beyond the end. channels: 1 or 2; None: those of the file."""
    with _open(file) as sound:
        samples = np.zeros((0, sound.channels), np.float32)
        if start < sound.frames:
            sound.seek(start)
            samples = sound.read(frames, dtype="float32", always_2d=True)
    samples = samples.T
    if channels is not None and len(samples) != channels:
        if channels == 2 and len(samples) > 2:  # as in the videos of the people
            samples = np.stack([samples[0::2].mean(axis=0), samples[1::2].mean(axis=0)])
        else:
            samples = np.broadcast_to(samples.mean(axis=0), (channels, samples.shape[1]))
    return np.pad(samples, ((0, 0), (0, frames - samples.shape[1])))
