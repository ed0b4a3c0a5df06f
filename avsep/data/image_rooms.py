"""Simulated rooms, with the positions of sources and microphones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import numpy as np

from avsep.data.microphone_arrays import Shape, draw_array
from avsep.data.ranges import Range, check
from avsep.data.rooms import PREROLL_SECONDS, SPEED_OF_SOUND, Bank, Responses
from avsep.errors import UsageError

NEAREST_METRES = 0.2
"""A source is at least so far from every microphone and every wall."""


class Layout(NamedTuple):
    """One room: size (3,) in m, energy that its walls absorb (0..1), T60 in s, positions of the microphones
    (microphones, 3) and of the sources (places, 3) in m."""

    size: np.ndarray
    absorption: float
    t60: float
    array: np.ndarray
    places: np.ndarray


@dataclass
class ImageRooms(Bank):
    """Shoebox rooms by the image method (Allen and Berkley, 1979; pyroomacoustics).

    Reflections up to `order` are exact; behind them the response goes on as noise of the same level that decays with
    the room's T60 (Lehmann and Johansson, 2010), which costs a fiftieth of a full simulation. A response ends where it
    has fallen by `decay_db` at the microphone that the sound reaches first.

    rooms: size of the bank, drawn once from `seed`. length, width, height in m, t60 in s, distance of a source from the
    middle of the microphones in m. apart: least angle in degrees between two sources, as seen from there. arrays: the
    shapes that are drawn from (`microphone_arrays`), with `spacing` of neighbours on a line and `radius` of a circle in
    m, numbers or ranges.
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
    spacing: float | Range = 0.05
    order: int = 12
    seed: int = 0
    arrays: Sequence[Shape] = ("linear",)
    radius: float | Range = (0.03, 0.1)
    apart: float = 20.0
    decay_db: float = 36.0
    bank: list[Responses] = field(default_factory=list, init=False, repr=False)

    positions = True

    def __post_init__(self) -> None:
        check(self, (0.1, 100.0), "length", "width", "height", "t60", "distance")
        check(self, (0.001, 10.0), "spacing", "radius", "early_seconds")
        check(self, (0.0, 120.0), "apart")
        check(self, (1.0, 120.0), "decay_db")
        if min(self.rooms, self.order, self.microphones) < 1:
            raise UsageError("ImageRooms: rooms, order and microphones must be 1 or more")
        if not self.arrays or not set(self.arrays) <= set(get_args(Shape)):
            raise UsageError(f"ImageRooms: arrays is {self.arrays}; give some of {', '.join(get_args(Shape))}")

    def prepare(self, sources: int, sample_rate: int) -> None:
        if not self.bank:
            rngs = np.random.default_rng(self.seed).spawn(self.rooms)
            self.bank = [self.simulate(rng, sources, sample_rate) for rng in rngs]

    def simulate(self, rng: np.random.Generator, sources: int, sample_rate: int) -> Responses:
        """One room with so many places."""
        return self.responses(self.layout(rng, sources), rng, sample_rate)

    def layout(self, rng: np.random.Generator, sources: int) -> Layout:
        """Draw a room, its microphones and so many places for sources."""
        for _ in range(30):
            size, absorption, t60 = self._room(rng)
            shape = self.arrays[int(rng.integers(len(self.arrays)))] if len(self.arrays) > 1 else self.arrays[0]
            spacing, radius = (_draw(rng, value) for value in (self.spacing, self.radius))
            array = draw_array(rng, shape, self.microphones, spacing, radius, size)
            places: list[np.ndarray] = []
            while len(places) < sources:
                place = self._place(rng, size, array, places)
                if place is None:
                    break
                places.append(place)
            else:
                return Layout(size, absorption, t60, array, np.stack(places))
        raise UsageError(
            f"ImageRooms: no room has {sources} places {self.apart:g} degrees apart, {self.distance[0]:g} m or more "
            "from the microphones; lower apart or distance, or raise length and width"
        )

    def responses(self, layout: Layout, rng: np.random.Generator, sample_rate: int) -> Responses:
        """The responses of a room. rng: for the noise behind the reflections that are exact."""
        import pyroomacoustics as pra

        size, absorption, t60, array, places = layout
        arrivals = np.linalg.norm(places[:, None] - array, axis=-1) * sample_rate / SPEED_OF_SOUND
        taps = int(max(self.decay_db / 60 * t60, self.early_seconds or 0.0) * sample_rate) + 1
        # The images of order n + 1 come from at least n / density away: until then the response is complete.
        density = float(np.sqrt((size**-2.0).sum()))
        needed = (arrivals.max() + taps) / sample_rate * SPEED_OF_SOUND * density
        order = min(self.order, int(needed) + 1)
        exact = order / density / SPEED_OF_SOUND * sample_rate
        room = pra.ShoeBox(size, fs=sample_rate, materials=pra.Material(absorption), max_order=order)
        room.add_microphone_array(array.T)
        for place in places:
            room.add_source(place)
        room.compute_rir()
        # By the filter of fractional delays, all of them start later than the sound does.
        arrivals += pra.constants.get("frac_delay_length") // 2
        starts = np.maximum(0, np.round(arrivals.min(axis=1)).astype(int) - round(PREROLL_SECONDS * sample_rate))
        out = np.zeros((len(places), len(array), taps), np.float32)
        for source, start in enumerate(starts):
            # Up to here after the direct sound: it has come some way already.
            cut = min(taps, max(round(0.02 * sample_rate), round(exact) - int(start)))
            for microphone, of in enumerate(room.rir):
                response = np.asarray(of[source])[start : start + cut]
                out[source, microphone] = lengthen(response, cut, taps, t60 * sample_rate, rng)
        out /= np.abs(out[:, :1]).max(axis=-1, keepdims=True)
        return Responses(out, places, array, np.round(arrivals).astype(np.int32) - starts[:, None].astype(np.int32))

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

    def _place(
        self, rng: np.random.Generator, size: np.ndarray, array: np.ndarray, others: Sequence[np.ndarray]
    ) -> np.ndarray | None:
        """A place at a drawn distance, clear of walls, microphones and the directions of the others; nearer where the
        room has no such place, None where it has none at all."""
        middle = array.mean(axis=0)
        for attempt in range(100):
            angle = rng.uniform(0, 2 * np.pi)
            far = rng.uniform(self.distance[0], max(self.distance[0], self.distance[1] * (1 - attempt / 100)))
            place = middle + far * np.array([np.cos(angle), np.sin(angle), 0.0])
            place[2] = rng.uniform(1.0, min(1.8, size[2] - 0.3))
            clear = (place > NEAREST_METRES).all() and (place < size - NEAREST_METRES).all()
            clear = clear and np.linalg.norm(place - array, axis=1).min() >= NEAREST_METRES
            if clear and all(angle_between(place - middle, other - middle) >= self.apart for other in others):
                return place
        return None


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two directions (3,)."""
    cosine = float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


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


def _draw(rng: np.random.Generator, value: float | Range) -> float:
    return float(rng.uniform(*value)) if isinstance(value, Sequence) else float(value)
