"""A Matroska file of wav files, each a named audio stream, without loss."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

from avsep.media.mp4 import LAYOUTS, NamedSound, peak, writing

_FULL_SCALE = 2**23
"""Of FLAC's 24 bits."""

_FLAC_CHANNELS, _FLAC_RATE = 8, 65_535
"""The most channels of a FLAC, and the rate in Hz up to which it can tell any."""


def write_mka(path: Path, sounds: Sequence[NamedSound], progress: Callable[[float], None]) -> None:
    """Write `sounds` beside each other; progress is called with the seconds that are written.

    A sound becomes FLAC of 24 bits or, where samples are beyond full scale or FLAC cannot hold it, PCM of 32-bit
    floats. Raises OutputError when the file cannot be written.
    """
    with writing(path), ExitStack() as files:
        container = files.enter_context(av.open(f"file:{path}", "w", format="matroska"))
        streams = [_Stream(container, sound, files) for sound in sounds]
        container.start_encoding()
        for seconds, together in enumerate(zip_longest(*map(_Stream.packets, streams), fillvalue=()), 1):
            for packets in together:
                container.mux(packets)
            progress(seconds)


class _Stream:
    """One of the streams, written second by second."""

    def __init__(self, container: Any, sound: NamedSound, files: ExitStack) -> None:
        self._file = files.enter_context(soundfile.SoundFile(os.fsencode(sound.wav)))
        self._rate, channels = self._file.samplerate, self._file.channels
        self._is_flac = channels <= _FLAC_CHANNELS and self._rate <= _FLAC_RATE and peak(sound.wav) <= 1
        self._format = "s32" if self._is_flac else "flt"
        self._layout = LAYOUTS.get(channels, f"{channels} channels")
        codec = "flac" if self._is_flac else "pcm_f32le"
        self._stream = container.add_stream(codec, rate=self._rate, layout=self._layout)
        self._stream.codec_context.format = self._format
        if sound.name:
            self._stream.metadata["title"] = sound.name

    def packets(self) -> Iterator[Any]:
        """The packets of each second, and those that are left at the end."""
        done = 0
        while len(samples := self._file.read(self._rate, dtype="float32", always_2d=True)):
            frame: Any = av.AudioFrame.from_ndarray(self._coded(samples), self._format, self._layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, done, Fraction(1, self._rate)
            done += len(samples)
            yield self._stream.encode(frame)
        yield self._stream.encode(None)

    def _coded(self, samples: np.ndarray) -> np.ndarray:
        """(time, channels) float32 as the encoder takes them: (1, time * channels)."""
        if self._is_flac:
            whole = np.rint(samples.astype(np.float64) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
            samples = whole.astype(np.int32) << 8  # of 32 bits the upper ones are stored
        return np.ascontiguousarray(samples).reshape(1, -1)
