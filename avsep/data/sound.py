"""Stretches of sound files and of mouth pictures, read without the rest of the file."""

from __future__ import annotations

import zipfile
from math import ceil, gcd
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from avsep.data.sound_file import TOLERANCE_SECONDS, SoundReader, sound_seconds
from avsep.embeddings.face import DIMENSIONS
from avsep.errors import InputError
from avsep.signals import FRAME_RATE, HOP, LIP_SIZE, SAMPLE_RATE
from avsep.storage.damaged import refused

MARGIN_SECONDS = 0.02
"""Read before and after a stretch that is resampled, so that the filter's ends fall outside."""


def read_sound(
    path: Path, start_seconds: float, length: int, sample_rate: int = SAMPLE_RATE, at_least: float = 0.0
) -> np.ndarray:
    """(length,) float32: `read_channels` with the channels averaged."""
    return read_channels(path, start_seconds, length, sample_rate, 1, at_least)[0]


def read_channels(
    path: Path, start_seconds: float, length: int, sample_rate: int, channels: int, at_least: float = 0.0
) -> np.ndarray:
    """(channels, length) float32 at `sample_rate`, from `start_seconds` on; zeros outside the file.

    channels: 1 for the mean of those of the file; else as many as the file has, or a copy of its only one in each.
    at_least: seconds that the file must have. Raises InputError for a file that is gone, no sound or shorter, or has
    another number of channels.
    """
    start = round(start_seconds * sample_rate)
    with SoundReader(path) as file:
        rate = file.sample_rate
        if file.seconds < at_least - TOLERANCE_SECONDS:
            raise InputError(f"{path}: {file.seconds:.3f} s long, but it should have {at_least:.3f} s")
        if rate == sample_rate:
            first, last = start, start + length
        else:
            first = int((start / sample_rate - MARGIN_SECONDS) * rate)
            # A multiple of the ratio's denominator: the resampled grid then meets sample `start`.
            step = rate // gcd(rate, sample_rate)
            first -= first % step
            last = ceil(((start + length) / sample_rate + MARGIN_SECONDS) * rate)
        head = min(max(0, -first), last - first)
        samples = file.read(max(0, first), last)
    kept = _with_channels(samples, channels, path)
    tail = last - first - head - kept.shape[1]
    if head or tail:
        kept = np.pad(kept, ((0, 0), (head, tail)))
    if rate != sample_rate:
        divisor = gcd(rate, sample_rate)
        kept = resample_poly(kept, sample_rate // divisor, rate // divisor, axis=-1)
        skip = start - first * sample_rate // rate
        kept = kept[:, skip : skip + length]
    return kept.astype(np.float32, copy=False)


def read_repeated(path: Path, length: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """(length,) float32 from the start of a file on, which begins again at its end. Raises InputError as `read_sound`
    does."""
    size = max(1, int(sound_seconds(path) * sample_rate))
    return np.resize(read_sound(path, 0.0, min(size, length), sample_rate), length)


def _with_channels(samples: np.ndarray, channels: int, path: Path) -> np.ndarray:
    """(time, channels of the file) -> (channels, time)."""
    found = samples.shape[1]
    if channels == 1:
        return samples.T if found == 1 else samples.mean(axis=1)[None]
    if found not in (1, channels):
        raise InputError(f"{path}: {found} channels, but channels is {channels}; it may be 1 (their mean) or {found}")
    return np.ascontiguousarray(np.broadcast_to(samples.T, (channels, len(samples))))


def read_lips(path: Path, start_seconds: float, pictures: int) -> np.ndarray:
    """(pictures, 96, 96) uint8 of a file of preprocessing/extract_lips.py, from `start_seconds` of its sound on;
    black where it has none.

    Raises InputError for a file that is gone or has no lips.
    """
    return _read_pictures(path, "lips", np.zeros((pictures, LIP_SIZE, LIP_SIZE), np.uint8), start_seconds)


def read_face(path: Path, start_seconds: float, pictures: int) -> np.ndarray:
    """(pictures, 512) float32, the FaceNet embedding of each picture of such a file that was made with
    --face-embeddings; zeros where it has none. Raises InputError as `read_lips` does."""
    return _read_pictures(path, "face", np.zeros((pictures, DIMENSIONS), np.float32), start_seconds)


def _read_pictures(path: Path, name: str, out: np.ndarray, start_seconds: float) -> np.ndarray:
    """The rows of an array of a file, one a picture, written over those of `out` that they are of."""
    pictures, row = len(out), out[0].nbytes if len(out) else 0
    how = "" if name == "lips" else " with --face-embeddings"
    with (
        refused(f"{path}: no {name} can be read", f"preprocessing.extract_lips{how} makes such files"),
        zipfile.ZipFile(path) as archive,
    ):
        with archive.open("first.npy") as member:
            begin = round(start_seconds * FRAME_RATE) - int(np.lib.format.read_array(member))
        with archive.open(f"{name}.npy") as member:
            np.lib.format.read_magic(member)
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
            if shape[1:] != out.shape[1:] or dtype != out.dtype:
                sizes = ", ".join(map(str, out.shape[1:]))
                raise InputError(f"{path}: {name} is {shape} {dtype}, not (n, {sizes}) {out.dtype}")
            first, last = min(max(0, begin), shape[0]), min(max(0, begin + pictures), shape[0])
            # The file keeps pictures uncompressed: only those that are wanted are read.
            member.seek(first * row, 1)
            rows = np.frombuffer(member.read((last - first) * row), out.dtype).reshape(last - first, *out.shape[1:])
    out[first - begin : last - begin] = rows
    return out


def read_talking(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lips (pictures, 96, 96) uint8 and sound (time,) float32 of a whole file of preprocessing/extract_lips.py, both
    from the first moment that has either on. Raises InputError for a file that has none."""
    advice = "preprocessing.extract_lips makes such files"
    with refused(f"{path}: no lips and sound can be read", advice), np.load(path) as data:
        first = int(data["first"])
        return data["lips"][max(0, -first) :], data["audio"][max(0, first) * HOP :].astype(np.float32) / 32768
