"""Microphones and loudspeakers, through PortAudio (the extra `live`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np

from avsep.errors import InputError, OutputError, UsageError
from avsep.live.stopping import Stopping
from avsep.safe_text import one_line


def sound_devices() -> Any:
    """The package sounddevice. Raises UsageError where it, or the library it needs, is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise UsageError(f"sound devices need a package ({error}). Install it: pip install 'avsep[live]'") from error
    except OSError as error:
        raise UsageError(
            f"sound devices need the library PortAudio ({one_line(error)}). Install it, e.g. apt install libportaudio2"
        ) from error
    return sounddevice


class DeviceSource:
    """What a microphone records. rate, channels: None for those of the device. lost: how often the device threw sound
    away, because it was not taken in time."""

    def __init__(
        self, name: str, chunk_seconds: float, stopping: Stopping, rate: int | None, channels: int | None
    ) -> None:
        self.sounds = sound_devices()
        info = _device(self.sounds, name, "input")
        self.stopping = stopping
        self.rate = rate or round(info["default_samplerate"])
        self.channels = channels or min(2, info["max_input_channels"])
        self.chunk = max(1, round(chunk_seconds * self.rate))
        self.name = info["name"]
        self.waited, self.lost = True, 0
        self._stream = _opened(self.sounds, "InputStream", InputError, info, self.rate, self.channels, self.chunk)

    def pieces(self) -> Iterator[np.ndarray]:
        """(channels, time) float32 each, for ever."""
        with self._stream:
            while True:
                self.waited = self._stream.read_available < self.chunk
                with self.stopping.reading():
                    pass  # a signal within `read` would lose what it recorded
                try:
                    data, overflowed = self._stream.read(self.chunk)
                except self.sounds.PortAudioError as error:
                    raise InputError(f"{self.name}: no more sound comes ({one_line(error)})") from error
                self.lost += bool(overflowed)
                yield np.ascontiguousarray(data.T)

    def rest(self) -> np.ndarray:
        """Nothing: the device is closed by then."""
        return np.zeros((self.channels, 0), np.float32)


class DeviceSink:
    """A device that plays each source on a channel of its own. late: how often there was nothing to play in time."""

    gone = False

    def __init__(self, name: str, sources: int, rate: int, chunk_seconds: float) -> None:
        self.sounds = sound_devices()
        info = _device(self.sounds, name, "output")
        if info["max_output_channels"] < sources:
            raise UsageError(
                f"--play {info['name']} has {info['max_output_channels']} channel(s); each of the {sources} sources "
                "needs one. Choose another device, or write to --out"
            )
        self.late, self.name = 0, info["name"]
        chunk = max(1, round(chunk_seconds * rate))
        self._stream = _opened(self.sounds, "OutputStream", OutputError, info, rate, sources, chunk)
        self._stream.start()

    def write(self, sources: np.ndarray) -> None:
        """(sources, time); waits until there is room for it."""
        try:
            self.late += bool(self._stream.write(np.ascontiguousarray(sources.T, np.float32)))
        except self.sounds.PortAudioError as error:
            raise OutputError(f"{self.name} plays no more ({one_line(error)})") from error

    def close(self) -> None:
        """Play what was written, then stop."""
        try:
            with closing(self._stream):
                self._stream.stop()
        except self.sounds.PortAudioError as error:
            raise OutputError(f"{self.name} cannot be stopped ({one_line(error)})") from error


def _device(sounds: Any, name: str, kind: str) -> Any:
    """By its number, or a part of its name. Raises UsageError where none, or more than one, is meant."""
    try:
        info = sounds.query_devices(int(name) if name.isdecimal() else name, kind)
        if info[f"max_{kind}_channels"] < 1:
            raise ValueError(f"{info['name']} has no {kind}")
        return info
    except (ValueError, sounds.PortAudioError) as error:
        found = [
            f"{number} {one['name']}"
            for number, one in enumerate(sounds.query_devices())
            if one[f"max_{kind}_channels"] > 0
        ]
        raise UsageError(
            f"no {kind} device {name!r} ({one_line(error)}). There is: {'; '.join(found) or 'none'}"
        ) from error


def _opened(sounds: Any, kind: str, failed: type[Exception], info: Any, rate: int, channels: int, chunk: int) -> Any:
    try:
        return getattr(sounds, kind)(
            device=info["index"], samplerate=rate, channels=channels, blocksize=chunk, dtype="float32", latency="low"
        )
    except (ValueError, sounds.PortAudioError) as error:
        raise failed(
            f"{info['name']} cannot be opened with {channels} channel(s) at {rate} Hz ({one_line(error)}). Try another"
            " --rate or --channels"
        ) from error
