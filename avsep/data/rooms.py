"""Rooms: the way from each mouth to each microphone, as impulse responses.

A bank of rooms is made once and drawn from for every item; simulating a room for each would cost more than the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from avsep.data.augment import Range, check, sound_files
from avsep.data.manifest import read_manifest
from avsep.errors import InputError, UsageError

PREROLL_SECONDS = 0.0005
"""Kept before the direct sound: the ringing of a fractional delay, and what other microphones hear earlier."""


class Rooms:
    """Gives an item its room. share: of items that have one. early_seconds: with it, the target is what arrives within
    that time of the direct sound (0.05 is usual); None: the whole reverberant voice is. microphones: channels."""

    share: float
    early_seconds: float | None
    microphones: int

    def prepare(self, sources: int, sample_rate: int) -> None:
        """Make the bank, for up to so many sources in a room."""

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> np.ndarray | None:
        """Responses (sources, microphones, taps) float32 of one room, direct sound first, or None."""
        raise NotImplementedError

    def early(self, responses: np.ndarray, sample_rate: int) -> np.ndarray:
        """The part of responses (..., taps) that the target keeps: (..., fewer taps)."""
        if self.early_seconds is None:
            return responses
        return responses[..., : round((PREROLL_SECONDS + self.early_seconds) * sample_rate)]


@dataclass
class DecayRooms(Rooms):
    """The cheapest room: noise that decays exponentially behind a direct sound.

    t60: seconds to fall by 60 dB. late_db: energy of the noise against the direct sound.
    """

    share: float = 0.6
    t60: Range = (0.1, 0.6)
    late_db: Range = (-15.0, 0.0)
    early_seconds: float | None = None
    microphones: int = 1

    def __post_init__(self) -> None:
        check(self, (0.001, 10.0), "t60", "early_seconds")

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> np.ndarray | None:
        taps = int(self.t60[1] * sample_rate)
        out = np.zeros((sources, self.microphones, taps), np.float32)
        for source in out:
            # Each voice has its own: it stands elsewhere, and rooms without a share have some dry voices.
            if rng.random() < self.share:
                t60 = rng.uniform(*self.t60)
                time = np.arange(int(t60 * sample_rate), dtype=np.float32) / sample_rate
                tail = rng.standard_normal((self.microphones, len(time)), dtype=np.float32)
                tail *= np.exp(np.float32(-np.log(1000) / t60) * time)
                tail *= 10 ** (rng.uniform(*self.late_db) / 20) / np.linalg.norm(tail, axis=-1, keepdims=True)
                source[:, : len(time)] = tail
            source[:, 0] = 1.0
        return out


class Bank(Rooms):
    """Rooms that are kept: `responses` is a list of (places, microphones, taps)."""

    responses: list[np.ndarray]

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> np.ndarray | None:
        self.prepare(sources, sample_rate)
        if rng.random() >= self.share:
            return None
        room = self.responses[rng.integers(len(self.responses))]
        return room[rng.choice(len(room), sources, replace=len(room) < sources)]


@dataclass
class ImageRooms(Bank):
    """Shoebox rooms by the image method (Allen and Berkley, 1979; pyroomacoustics).

    Reflections up to `order` are exact; behind them the response goes on as noise of the same level that decays with
    the room's T60 (Lehmann and Johansson, 2010), which costs a fiftieth of a full simulation.

    rooms: size of the bank, drawn once from `seed`. length, width, height in m, t60 in s, distance of a mouth from the
    microphones and `spacing` of microphones on a line in m.
    """

    share: float = 0.5
    rooms: int = 100
    length: Range = (3.0, 9.0)
    width: Range = (2.5, 7.0)
    height: Range = (2.4, 3.5)
    t60: Range = (0.15, 0.7)
    distance: Range = (0.3, 3.0)
    early_seconds: float | None = None
    microphones: int = 1
    spacing: float = 0.05
    order: int = 12
    seed: int = 0
    responses: list[np.ndarray] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check(self, (0.1, 100.0), "length", "width", "height", "t60", "distance")
        check(self, (0.001, 10.0), "spacing", "early_seconds")
        if min(self.rooms, self.order, self.microphones) < 1:
            raise UsageError("ImageRooms: rooms, order and microphones must be 1 or more")

    def prepare(self, sources: int, sample_rate: int) -> None:
        if not self.responses:
            rngs = np.random.default_rng(self.seed).spawn(self.rooms)
            self.responses = [self.simulate(rng, sources, sample_rate) for rng in rngs]

    def simulate(self, rng: np.random.Generator, sources: int, sample_rate: int) -> np.ndarray:
        """One room: (sources, microphones, taps) float32."""
        import pyroomacoustics as pra

        size, absorption, t60 = self._room(rng)
        middle = rng.uniform(0.3 * size, 0.7 * size)
        middle[2] = rng.uniform(0.8, min(1.8, size[2] - 0.3))
        angle = rng.uniform(0, np.pi)
        offsets = (np.arange(self.microphones) - (self.microphones - 1) / 2) * self.spacing
        array = middle[:, None] + np.outer([np.cos(angle), np.sin(angle), 0.0], offsets)
        array = np.clip(array, 0.1, size[:, None] - 0.1)
        room = pra.ShoeBox(size, fs=sample_rate, materials=pra.Material(absorption), max_order=self.order)
        room.add_microphone_array(array)
        for _ in range(sources):
            room.add_source(self._mouth(rng, size, middle))
        room.compute_rir()
        # The images of order n + 1 come from at least n rooms away: until then the response is complete.
        exact = self.order * float(size.min()) / 343.0
        taps = int(max(0.6 * t60, self.early_seconds or 0.0) * sample_rate) + 1
        out = np.zeros((sources, self.microphones, taps), np.float32)
        for source in range(sources):
            of = [np.asarray(room.rir[m][source]) for m in range(self.microphones)]
            start = max(0, int(np.abs(of[0]).argmax()) - round(PREROLL_SECONDS * sample_rate))
            # Up to here after the direct sound: it has come some way already.
            cut = min(taps, max(round(0.02 * sample_rate), round(exact * sample_rate) - start))
            for m, response in enumerate(of):
                out[source, m] = lengthen(response[start : start + cut], cut, taps, t60 * sample_rate, rng)
        return out / np.abs(out[:, :1]).max(axis=-1, keepdims=True)

    def _room(self, rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
        import pyroomacoustics as pra

        for _ in range(1000):
            size = np.array([rng.uniform(*r) for r in (self.length, self.width, self.height)])
            t60 = float(rng.uniform(*self.t60))
            try:
                absorption, _ = pra.inverse_sabine(t60, size)
            except ValueError:
                continue  # No wall swallows enough for so short a T60 in so large a room: draw again.
            return size, float(absorption), t60
        raise UsageError(f"ImageRooms: no room of these sizes has a T60 of {self.t60[0]} to {self.t60[1]} s; raise t60")

    def _mouth(self, rng: np.random.Generator, size: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """A place at a drawn distance, 0.2 m or more from the walls; nearer where the room has no such place."""
        place = middle
        for attempt in range(100):
            angle = rng.uniform(0, 2 * np.pi)
            far = rng.uniform(self.distance[0], max(self.distance[0], self.distance[1] * (1 - attempt / 100)))
            place = middle + far * np.array([np.cos(angle), np.sin(angle), 0.0])
            place[2] = rng.uniform(1.0, min(1.8, size[2] - 0.3))
            if (place > 0.2).all() and (place < size - 0.2).all():
                return place
        return np.clip(place, 0.2, size - 0.2)


def lengthen(response: np.ndarray, cut: int, taps: int, t60: float, rng: np.random.Generator) -> np.ndarray:
    """Continue a response (up to cut,) to (taps,) by noise of the level of its last quarter, falling with `t60` in
    samples."""
    out = np.zeros(taps, np.float32)
    out[: len(response)] = response[:taps]
    rest = taps - cut
    quarter = response[3 * len(response) // 4 :]
    if rest > 0 and len(quarter):
        fall = np.log(1000) / t60
        # The level in the middle of the quarter, carried on to the cut.
        level = np.sqrt(np.mean(quarter**2)) * np.exp(-fall * len(quarter) / 2)
        out[cut:] = level * rng.standard_normal(rest) * np.exp(-fall * np.arange(rest))
    return out


@dataclass
class RecordedRooms(Bank):
    """Measured responses, each a sound file whose channels are microphones.

    path: a folder, in which the files of one folder belong to one room, or a manifest.tsv, in which the column speaker
    names the room. seconds: how much of a response is kept after its direct sound.
    """

    path: str
    share: float = 0.5
    seconds: float = 0.7
    early_seconds: float | None = None
    microphones: int = 1
    responses: list[np.ndarray] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check(self, (0.001, 60.0), "seconds", "early_seconds")

    def prepare(self, sources: int, sample_rate: int) -> None:
        if self.responses:
            return
        if Path(self.path).is_file():
            files = [(row.speaker, row.audio) for row in read_manifest(self.path)]
        else:
            files = [(str(file.parent), file) for file in sound_files(Path(self.path))]
        if not files:
            raise InputError(f"{self.path}: no sound files in it. Give a folder or manifest of room responses")
        rooms: dict[str, list[np.ndarray]] = {}
        for room, file in files:
            rooms.setdefault(room, []).append(self._read(file, sample_rate))
        self.responses = [np.stack(places) for places in rooms.values()]

    def _read(self, file: Path, sample_rate: int) -> np.ndarray:
        """(microphones, taps)."""
        try:
            samples, rate = sf.read(file, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, OSError) as error:
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
