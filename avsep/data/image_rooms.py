"""Simulated rooms, with the positions of sources and microphones."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avsep.data.ranges import Range, check
from avsep.data.rooms import PREROLL_SECONDS, Bank, Responses
from avsep.errors import UsageError

SPEED_OF_SOUND = 343.0
"""In m/s, as pyroomacoustics has it."""


@dataclass
class ImageRooms(Bank):
    """Shoebox rooms by the image method (Allen and Berkley, 1979; pyroomacoustics).

    Reflections up to `order` are exact; behind them the response goes on as noise of the same level that decays with
    the room's T60 (Lehmann and Johansson, 2010), which costs a fiftieth of a full simulation.

    rooms: size of the bank, drawn once from `seed`. length, width, height in m, t60 in s, distance of a source from the
    middle of the microphones and `spacing` of microphones on a horizontal line in m.
    """

    p: float = 0.5
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
    bank: list[Responses] = field(default_factory=list, init=False, repr=False)

    positions = True

    def __post_init__(self) -> None:
        check(self, (0.1, 100.0), "length", "width", "height", "t60", "distance")
        check(self, (0.001, 10.0), "spacing", "early_seconds")
        if min(self.rooms, self.order, self.microphones) < 1:
            raise UsageError("ImageRooms: rooms, order and microphones must be 1 or more")

    def prepare(self, sources: int, sample_rate: int) -> None:
        if not self.bank:
            rngs = np.random.default_rng(self.seed).spawn(self.rooms)
            self.bank = [self.simulate(rng, sources, sample_rate) for rng in rngs]

    def simulate(self, rng: np.random.Generator, sources: int, sample_rate: int) -> Responses:
        """One room with so many places."""
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
        places = [self._place(rng, size, middle) for _ in range(sources)]
        for place in places:
            room.add_source(place)
        room.compute_rir()
        # The images of order n + 1 come from at least n rooms away: until then the response is complete.
        exact = self.order * float(size.min()) / SPEED_OF_SOUND
        taps = int(max(0.6 * t60, self.early_seconds or 0.0) * sample_rate) + 1
        out = np.zeros((sources, self.microphones, taps), np.float32)
        for source in range(sources):
            of = [np.asarray(room.rir[m][source]) for m in range(self.microphones)]
            start = max(0, int(np.abs(of[0]).argmax()) - round(PREROLL_SECONDS * sample_rate))
            # Up to here after the direct sound: it has come some way already.
            cut = min(taps, max(round(0.02 * sample_rate), round(exact * sample_rate) - start))
            for m, response in enumerate(of):
                out[source, m] = lengthen(response[start : start + cut], cut, taps, t60 * sample_rate, rng)
        out /= np.abs(out[:, :1]).max(axis=-1, keepdims=True)
        return Responses(out, np.stack(places), array.T)

    def _room(self, rng: np.random.Generator) -> tuple[np.ndarray, float, float]:
        """Size (3,) in m, absorption of the walls, T60 in s."""
        import pyroomacoustics as pra

        for _ in range(1000):
            size = np.array([rng.uniform(*r) for r in (self.length, self.width, self.height)])
            t60 = float(rng.uniform(*self.t60))
            try:
                absorption, _ = pra.inverse_sabine(t60, size)
            except ValueError:
                continue  # No wall absorbs enough for so short a T60 in so large a room: draw again.
            return size, float(absorption), t60
        raise UsageError(f"ImageRooms: no room of these sizes has a T60 of {self.t60[0]} to {self.t60[1]} s; raise t60")

    def _place(self, rng: np.random.Generator, size: np.ndarray, middle: np.ndarray) -> np.ndarray:
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
        # The level in the middle of the quarter, extrapolated to the cut.
        level = np.sqrt(np.mean(quarter**2)) * np.exp(-fall * len(quarter) / 2)
        out[cut:] = level * rng.standard_normal(rest) * np.exp(-fall * np.arange(rest))
    return out
