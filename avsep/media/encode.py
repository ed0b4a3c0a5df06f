"""Writing sound and pictures."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from avsep.errors import OutputError
from avsep.media.person_video import PersonVideo, write_person_videos

__all__ = ["PersonVideo", "WavWriter", "write_jpeg", "write_person_videos"]

_LARGEST_WAV = 2**32 - 2**16
"""Bytes of sound that a WAV file's 32-bit sizes can tell, less room for its headers."""

_COPY_FRAMES = 1 << 18


class WavWriter:
    """Writes a 32-bit float WAV file piece by piece; beyond 4 GiB it becomes RF64, which has 64-bit sizes.

    Samples beyond full scale are kept as they are. Raises OutputError when the file cannot be written.
    """

    def __init__(self, path: Path | str, sample_rate: int, channels: int) -> None:
        self.path, self.sample_rate, self.channels = Path(path), sample_rate, channels
        self._bytes = 0
        self._large = False
        self._file = self._open(self.path, "WAV")

    def write(self, samples: np.ndarray) -> None:
        """Append samples: (channels, time) float."""
        if samples.ndim != 2 or samples.shape[0] != self.channels:
            raise ValueError(f"samples must be ({self.channels}, time), got shape {samples.shape}")
        self._bytes += samples.size * 4
        if self._bytes > _LARGEST_WAV and not self._large:
            self._become_large()
        self._append(self._file, np.ascontiguousarray(samples.T, np.float32))

    def close(self) -> None:
        try:
            self._file.close()
        except (OSError, soundfile.SoundFileError) as error:
            raise self._error(error) from error

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, path: Path, container: str) -> soundfile.SoundFile:
        try:
            return soundfile.SoundFile(
                os.fsencode(path),  # a str may hold bytes that soundfile cannot encode
                "w",
                samplerate=self.sample_rate,
                channels=self.channels,
                format=container,
                subtype="FLOAT",
            )
        except (OSError, soundfile.SoundFileError) as error:
            raise self._error(error) from error

    def _append(self, file: soundfile.SoundFile, samples: np.ndarray) -> None:
        try:
            file.write(samples)
        except (OSError, soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts on short writes
            raise self._error(error) from error

    def _become_large(self) -> None:
        """Continue in an RF64 copy of what is there; only then is the sixty-four bit header worth its rarity."""
        self.close()
        copy_path = self.path.with_name(f"{self.path.name}.rf64")
        copy = self._open(copy_path, "RF64")
        with soundfile.SoundFile(os.fsencode(self.path)) as small:
            for block in small.blocks(_COPY_FRAMES, dtype="float32", always_2d=True):
                self._append(copy, block)
        copy_path.replace(self.path)
        self._file, self._large = copy, True

    def _error(self, error: BaseException) -> OutputError:
        reason = str(error) or "the disk is full, or the file is larger than allowed"
        return OutputError(
            f"{self.path}: cannot be written ({reason}). Free some space or choose another folder with -o"
        )


def jpeg_of(rgb: np.ndarray) -> bytes:
    """A picture (height, width, 3) uint8 RGB as a JPEG file has it."""
    import cv2

    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert done, f"a picture of shape {rgb.shape} cannot be a JPEG"
    return data.tobytes()


def write_jpeg(path: Path | str, rgb: np.ndarray) -> None:
    """Write a picture: (height, width, 3) uint8 RGB. Raises OutputError when the file cannot be written."""
    data = jpeg_of(rgb)
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}). Free some space or choose another folder with -o"
        ) from error
