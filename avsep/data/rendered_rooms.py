"""Rooms that were simulated once and kept in a file: a training reads them in a moment, without pyroomacoustics.

`python -m preprocessing.render_rooms` writes such a file: an .npz archive with

    taps            (places, microphones, taps of all rooms) float32: the responses, one room behind the other in time
    ends            (rooms,) int64: where the taps of each room end
    direct          (rooms, places, microphones) int32: the tap of the room at which the direct sound arrives
    places          (rooms, places, 3) float32, microphones (rooms, microphones, 3) float32: positions in m
    sample_rate     int64, in Hz
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avsep.data.ranges import check
from avsep.data.rooms import Bank, Responses
from avsep.errors import InputError, UsageError
from avsep.media.checks import MOST_RATE
from avsep.storage.damaged import refused
from avsep.storage.files import write_whole


@dataclass
class RenderedRooms(Bank):
    """Rooms of a file of `python -m preprocessing.render_rooms`.

    microphones: how many of those of a room an item gets, another choice in another order every time. reference: which
    microphone of the file is the first of every item; any, where it is None. The places of a room are drawn too, so
    that a room with more places than an item has sources gives many scenes.
    """

    path: str
    p: float = 1.0
    microphones: int = 4
    early_seconds: float | None = 0.05
    reference: int | None = None
    bank: list[Responses] = field(default_factory=list, init=False, repr=False)

    positions = True

    def __post_init__(self) -> None:
        check(self, (0.001, 10.0), "early_seconds")
        check(self, (1, 128), "microphones")
        check(self, (0, 127), "reference")

    def prepare(self, sources: int, sample_rate: int) -> None:
        if self.bank:
            return
        bank, rate = read_rooms(Path(self.path))
        places, microphones = bank[0].taps.shape[:2]
        if rate != sample_rate:
            raise UsageError(
                f"{self.path}: rooms at {rate} Hz, and the data are made at {sample_rate} Hz; "
                f"render them with --sample-rate {sample_rate}"
            )
        if places < sources:
            raise UsageError(
                f"{self.path}: {places} places in a room, and {sources} are needed ({sources - 1} sources and one for "
                f"the background); render rooms with --sources {sources - 1}"
            )
        needed = max(self.microphones, (self.reference or 0) + 1)
        if microphones < needed:
            raise UsageError(
                f"{self.path}: {microphones} microphones in a room, and RenderedRooms asks for {needed}; lower "
                f"microphones or reference, or render rooms with --microphones {needed}"
            )
        self.bank = bank

    def draw(self, rng: np.random.Generator, sources: int, sample_rate: int) -> Responses | None:
        self.prepare(sources, sample_rate)
        if rng.random() >= self.p:
            return None
        room = self.bank[rng.integers(len(self.bank))]
        places, microphones = room.taps.shape[:2]
        order = rng.permutation(microphones)
        if self.reference is not None:
            order = np.concatenate([[self.reference], order[order != self.reference]])
        return room.at(rng.choice(places, sources, replace=False), order[: self.microphones])


def write_rooms(path: Path, rooms: Sequence[Responses], sample_rate: int) -> None:
    """Keep rooms with as many places and microphones, whose positions are known."""
    arrays: dict[str, Any] = {
        "taps": np.concatenate([room.taps for room in rooms], axis=-1).astype(np.float32),
        "ends": np.cumsum([room.taps.shape[-1] for room in rooms]),
        "direct": np.stack([room.direct for room in rooms if room.direct is not None]),
        "places": np.stack([room.places for room in rooms if room.places is not None]).astype(np.float32),
        "microphones": np.stack([room.microphones for room in rooms if room.microphones is not None]).astype(
            np.float32
        ),
        "sample_rate": np.int64(sample_rate),
    }

    def save(partial: Path) -> None:
        with partial.open("wb") as file:  # numpy adds .npz to a name that lacks it
            np.savez(file, **arrays)

    write_whole(path, save)


def read_rooms(path: Path) -> tuple[list[Responses], int]:
    """The rooms of a file and their sample rate in Hz. Raises InputError for one that holds none."""
    with (
        refused(
            f"{path}: holds no rooms that can be read", "Make such a file with python -m preprocessing.render_rooms"
        ),
        np.load(path) as file,
    ):
        taps, ends = file["taps"], file["ends"]
        positions = zip(file["places"], file["microphones"], file["direct"], strict=True)
        starts = [0, *ends[:-1]]
        rooms = [
            _checked(Responses(taps[..., start:end], places, microphones, direct))
            for start, end, (places, microphones, direct) in zip(starts, ends, positions, strict=True)
        ]
        rate = int(file["sample_rate"])
        if not 1 <= rate <= MOST_RATE:
            raise ValueError(f"sample_rate is {rate}")
    if not rooms:
        raise InputError(f"{path}: holds no rooms. Render one or more")
    return rooms, rate


def _checked(room: Responses) -> Responses:
    """The room. Raises ValueError where its arrays do not fit each other or are no responses."""
    places, microphones, taps = room.taps.shape
    wanted = {"places": (places, 3), "microphones": (microphones, 3), "direct": (places, microphones)}
    for name, shape in wanted.items():
        found = np.shape(getattr(room, name))
        if found != shape:
            raise ValueError(f"{name} of a room is {found}, not {shape}")
    if 0 in (places, microphones, taps) or room.taps.dtype.kind != "f" or not np.isfinite(room.taps).all():
        raise ValueError(f"taps of a room are {room.taps.shape} {room.taps.dtype}, or not finite")
    if not (np.asarray(room.direct) == np.clip(np.asarray(room.direct), 0, taps - 1)).all():
        raise ValueError(f"direct is beyond the {taps} taps of a room")
    return room
