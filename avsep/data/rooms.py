"""Rooms: the way from each source to each microphone, as impulse responses.

A bank of rooms is made once and drawn from for every item; simulating a room for each would cost more than the model.
Simulated rooms are in avsep.data.image_rooms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from scipy import fft
from scipy.signal import resample_poly

from avsep.data.filters import Filter
from avsep.data.manifest import read_manifest
from avsep.data.ranges import Range, check
from avsep.data.sound_file import SoundReader
from avsep.errors import InputError
from avsep.signals import SAMPLE_RATE

SPEED_OF_SOUND = 343.0
"""In m/s, as pyroomacoustics has it."""

PREROLL_SECONDS = 0.0005
"""Kept before the direct sound: the ringing of a fractional delay, and what reaches other microphones earlier."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Impulse responses of one room.

    taps: (places, microphones, taps) float32; of each place the direct sound that is first at a microphone is at the
    start. places (places, 3), microphones (microphones, 3): positions in m from a corner of the floor, x along the
    length, z up; None where they are not known. direct (places, microphones) int32: the tap at which the direct sound
    of each arrives; None where that is the start.
    """

    taps: np.ndarray
    places: np.ndarray | None = None
    microphones: np.ndarray | None = None
    direct: np.ndarray | None = None

    def at(self, places: np.ndarray, microphones: np.ndarray | None = None) -> Responses:
        """Of these places and, if they are given, these microphones only, in this order."""
        both: Any = places if microphones is None else np.ix_(places, microphones)
        array = self.microphones
        return Responses(
            self.taps[both],
            None if self.places is None else self.places[places],
            array if array is None or microphones is None else array[microphones],
            None if self.direct is None else self.direct[both],
        )


class Rooms:
    """Gives an item its room. p: probability of one. early_seconds: with it, the target is what arrives within that
    time of the direct sound (0.05 is usual); None: the whole reverberant source is. microphones: channels.
    positions: whether it tells those of sources and microphones."""

    p: float
    early_seconds: float | None
    microphones: int
    positions: bool = False

    def prepare(self, sources: int, sample_rate: int) -> None:
        """Make the bank, for up to so many sources in a room."""

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> Responses | None:
        """One room with as many places as sources, or None."""
        raise NotImplementedError

    def early(self, room: Responses, place: int, sample_rate: int) -> np.ndarray:
        """The part of the responses of a place that the target keeps: (microphones, taps or fewer). Each microphone's
        time counts from its own direct sound."""
        taps = room.taps[place]
        if self.early_seconds is None:
            return taps
        if room.direct is None:
            return taps[:, : round((PREROLL_SECONDS + self.early_seconds) * sample_rate)]
        ends = room.direct[place] + round(self.early_seconds * sample_rate)
        kept = taps[:, : ends.max()]
        return np.where(np.arange(kept.shape[1]) < ends[:, None], kept, np.float32(0))


@dataclass
class DecayRooms(Rooms):
    """The cheapest room: noise that decays exponentially behind a direct sound.

    t60: seconds to fall by 60 dB. late_db: energy of the noise against the direct sound.
    """

    p: float = 0.6
    t60: Range = (0.1, 0.6)
    late_db: Range = (-15.0, 0.0)
    early_seconds: float | None = None
    microphones: int = 1

    def __post_init__(self) -> None:
        check(self, (0.001, 10.0), "t60", "early_seconds")

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> Responses | None:
        length = int(self.t60[1] * sample_rate)
        taps = np.zeros((sources, self.microphones, length), np.float32)
        for source in taps:
            # Each source has its own: it stands elsewhere, and some are dry.
            if rng.random() < self.p:
                t60 = rng.uniform(*self.t60)
                time = np.arange(int(t60 * sample_rate), dtype=np.float32) / sample_rate
                tail = rng.standard_normal((self.microphones, len(time)), dtype=np.float32)
                tail *= np.exp(np.float32(-np.log(1000) / t60) * time)
                tail *= 10 ** (rng.uniform(*self.late_db) / 20) / np.linalg.norm(tail, axis=-1, keepdims=True)
                source[:, : len(time)] = tail
            source[:, 0] = 1.0
        return Responses(taps)


class Bank(Rooms):
    """Rooms that are kept."""

    bank: list[Responses]

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> Responses | None:
        self.prepare(sources, sample_rate)
        if rng.random() >= self.p:
            return None
        room = self.bank[rng.integers(len(self.bank))]
        places = len(room.taps)
        return room.at(rng.choice(places, sources, replace=places < sources))


@dataclass
class RecordedRooms(Bank):
    """Measured responses, each a sound file whose channels are microphones.

    path: a folder, in which the files of one folder belong to one room, or a manifest.tsv, in which the column speaker
    names the room. seconds: how much of a response is kept after its direct sound.
    """

    path: str
    p: float = 0.5
    seconds: float = 0.7
    early_seconds: float | None = None
    microphones: int = 1
    bank: list[Responses] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check(self, (0.001, 60.0), "seconds", "early_seconds")

    def prepare(self, sources: int, sample_rate: int) -> None:
        if self.bank:
            return
        if Path(self.path).is_file():
            files = [(row.speaker, row.audio) for row in read_manifest(self.path)]
        else:
            files = [(str(file.parent), file) for file in _sound_files(Path(self.path))]
        if not files:
            raise InputError(f"{self.path}: no sound files in it. Give a folder or manifest of room responses")
        rooms: dict[str, list[np.ndarray]] = {}
        for room, file in files:
            rooms.setdefault(room, []).append(self._read(file, sample_rate))
        self.bank = [Responses(np.stack(places)) for places in rooms.values()]

    def _read(self, file: Path, sample_rate: int) -> np.ndarray:
        """(microphones, taps)."""
        try:
            with SoundReader(file) as sound:
                samples, rate = sound.read(), sound.sample_rate
        except InputError as error:
            raise InputError(f"{file}: cannot be read as sound: {error}") from error
        if samples.shape[1] < self.microphones:
            raise InputError(f"{file}: {samples.shape[1]} channels, but microphones is {self.microphones}")
        if not samples.any():
            raise InputError(f"{file}: a response of zeros")
        divisor = int(np.gcd(rate, sample_rate))
        response: Any = samples[:, : self.microphones].T
        if rate != sample_rate:
            response = resample_poly(response, sample_rate // divisor, rate // divisor, axis=-1)
        start = max(0, int(np.abs(response[0]).argmax()) - round(PREROLL_SECONDS * sample_rate))
        taps = round(self.seconds * sample_rate)
        out = np.zeros((self.microphones, taps), np.float32)
        kept = response[:, start : start + taps]
        out[:, : kept.shape[1]] = kept / np.abs(response[0]).max()
        return out


def _sound_files(path: Path) -> list[Path]:
    """The sound files of a folder and what lies under it, in alphabetical order."""
    suffixes = {f".{name.lower()}" for name in sf.available_formats()} | {".opus"}
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())


def apply_room(
    x: np.ndarray,
    filters: Sequence[Filter],
    response: np.ndarray | None,
    rng: np.random.Generator,
    sample_rate: int = SAMPLE_RATE,
    *more: np.ndarray,
) -> list[np.ndarray]:
    """Through filters and then each response, as products of one spectrum.

    x: (channels, time), of one channel where there are responses (microphones, taps). Returns (microphones, time) for
    each response; without any, one array shaped as x.
    """
    responses = [] if response is None else [response, *more]
    if not responses and not filters:
        return [x]
    taps = max((r.shape[-1] for r in responses), default=0)
    # Place for the echoes, so that the end does not come round to the start; filters ring for some milliseconds.
    time = x.shape[-1]
    size = fft.next_fast_len(time + max(taps, 2048), real=True)
    spectrum = fft.rfft(x, size)
    frequency = np.linspace(0, sample_rate / 2, spectrum.shape[-1], dtype=np.float32)
    for one in filters:
        gains = one.gains(frequency, rng)
        if gains is not None:
            spectrum *= gains
    if not responses:
        return [fft.irfft(spectrum, size)[:, :time]]
    # As a function: numpy may swap the operands of an expression, which changes the last bit of a complex product.
    return [fft.irfft(np.multiply(spectrum, fft.rfft(r, size)), size)[:, :time] for r in responses]
