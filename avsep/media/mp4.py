"""An mp4 of pictures that come encoded, and the sound of wav files beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import soundfile
from av.audio.resampler import AudioResampler

from avsep.errors import OutputError
from avsep.media.pictures import CLOCK
from avsep.signals import Person

_AAC_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
"""Sample rates that AAC and browsers both know, in Hz."""

_SOUND_AHEAD = 0.5
"""Seconds by which the sound is written ahead of the pictures, so that the muxer can interleave them."""

_UNSCALED = 16.0
"""Times full scale from which sound is not too loud, but integers that were stored as floats without scaling."""

_READ_FRAMES = 1 << 18

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Channel layouts that the numbers of channels of a wav file usually stand for."""

_CHANNELS = {layout: channels for channels, layout in LAYOUTS.items()}


@dataclass(frozen=True)
class NamedSound:
    """A wav file and the name under which players show it; "" for none."""

    wav: Path
    name: str = ""


@dataclass(frozen=True)
class PersonVideo:
    """An mp4 to write to `path`: the clip's pictures, in which `person` may be marked, with the sound of `wav`.

    person: None where nobody is to be marked. gain: of the sound (see `playable_gain`).
    """

    path: Path
    person: Person | None
    wav: Path
    gain: float = 1.0

    @property
    def sounds(self) -> tuple[NamedSound, ...]:
        return (NamedSound(self.wav),)


@dataclass(frozen=True)
class TracksVideo:
    """An mp4 to write to `path`: the clip's pictures with an audio stream for each of `sounds`; nobody is marked."""

    path: Path
    sounds: tuple[NamedSound, ...]
    gain: float = 1.0
    person: None = None


class Mp4:
    """One mp4 (playable in a browser if the pictures are) in the making; finished when the context ends without error.

    lead_seconds: silence before the sound. add_pictures: adds the stream of the pictures to a container.
    Everything raises OutputError when the file cannot be written.
    """

    def __init__(self, job: PersonVideo | TracksVideo, lead_seconds: float, add_pictures: Callable[[Any], Any]) -> None:
        self.path = job.path
        self._sounds = [_Sound(sound.wav, lead_seconds, job.gain) for sound in job.sounds]
        with writing(self.path):
            self._container = av.open(f"file:{self.path}", "w", format="mp4", options={"movflags": "+faststart"})
            self.pictures = add_pictures(self._container)
            self.pictures.time_base = Fraction(1, CLOCK)
            self._voices: list[Any] = [
                self._container.add_stream("aac", rate=sound.rate, layout=sound.layout) for sound in self._sounds
            ]
            for voice, sound in zip(self._voices, job.sounds, strict=True):
                if sound.name:  # some players show the one, some the other
                    voice.metadata.update(title=sound.name, handler_name=sound.name)
            self._container.start_encoding()

    def encode(self, picture: Any) -> list[Any]:
        """Packets of a picture (None at the end) from the stream's own encoder."""
        with writing(self.path):
            return self.pictures.encode(picture)

    def add(self, packet: Any) -> None:
        """Append an encoded picture; its times are on the file's clock."""
        packet.stream = self.pictures
        with writing(self.path):
            self._add_sound(until=float(packet.pts * packet.time_base) + _SOUND_AHEAD)
            self._container.mux(packet)

    def __enter__(self) -> Mp4:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with writing(self.path):
                    self._add_sound(until=float("inf"))
                    for voice in self._voices:
                        self._container.mux(voice.encode(None))
                    self._container.close()
        finally:
            for sound in self._sounds:
                sound.close()
            with suppress(av.FFmpegError, OSError):  # there is an error under way already, or nothing left to do
                self._container.close()

    def _add_sound(self, until: float) -> None:
        for sound, voice in zip(self._sounds, self._voices, strict=True):
            for frame in sound.frames(until):
                self._container.mux(voice.encode(frame))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system or the encoder complains about into an OutputError."""
    try:
        yield
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{path}: cannot be written ({reason}). Free some space, choose another folder, or leave this file out"
        ) from error


def playable_gain(wavs: Sequence[Path]) -> float:
    """What brings the sound of a clip's tracks to full scale where it is made of integers stored as floats, else 1:
    players cut what is above full scale."""
    loudest = max((peak(wav) for wav in wavs), default=0.0)
    return 1 / loudest if loudest > _UNSCALED else 1.0


def peak(wav: Path) -> float:
    with soundfile.SoundFile(os.fsencode(wav)) as file:
        return max((float(np.abs(block).max()) for block in file.blocks(_READ_FRAMES, dtype="float32")), default=0.0)


class _Sound:
    """A wav file as AAC-ready frames, after `lead_seconds` of silence."""

    def __init__(self, path: Path, lead_seconds: float, gain: float) -> None:
        self._file = soundfile.SoundFile(os.fsencode(path))
        source, channels = self._file.samplerate, self._file.channels
        self.rate = source if source in _AAC_RATES else 48_000
        self.layout = "mono" if channels == 1 else "stereo"
        self._source_layout = LAYOUTS.get(channels, "stereo")
        self._lead = round(lead_seconds * source)
        self._gain = np.float32(gain)
        self._done = 0  # samples read, the silence included
        self._resampler: AudioResampler | None = AudioResampler("fltp", self.layout, self.rate)

    def frames(self, until: float) -> Iterator[Any]:
        """The next frames, up to `until` seconds of the video's clock."""
        source = self._file.samplerate
        while self._resampler is not None and self._done < until * source:
            samples = self._next(source // 2)
            if samples.shape[1] == 0:
                yield from self._resampler.resample(None)
                self._resampler = None
                return
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self._source_layout)
            frame.sample_rate, frame.pts, frame.time_base = source, self._done, Fraction(1, source)
            self._done += samples.shape[1]
            yield from self._resampler.resample(frame)

    def _next(self, size: int) -> np.ndarray:
        if self._lead > 0:
            size = min(size, self._lead)
            self._lead -= size
            return np.zeros((_CHANNELS[self._source_layout], size), np.float32)
        block = self._file.read(size, dtype="float32", always_2d=True).T
        if len(block) not in LAYOUTS:
            block = np.stack([block[0::2].mean(axis=0), block[1::2].mean(axis=0)])
        # Browsers cut what lies above full scale; the encoder misbehaves far beyond it.
        return np.ascontiguousarray(np.clip(block * self._gain, -1.0, 1.0))

    def close(self) -> None:
        self._file.close()
