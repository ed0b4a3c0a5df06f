"""Sound events of several classes: the cast of universal separation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avsep.data.casts.base import Needs, PoolCast, PoolSource, Source
from avsep.data.corpus import Clip, Corpus, SourcePool
from avsep.data.ranges import check
from avsep.errors import InputError, UsageError


class Event(PoolSource):
    """One recording of a class, somewhere in the item."""

    def read(self, rng: np.random.Generator, length: int, faces: bool = False) -> Clip:
        return self.pool.draw_event(rng, self.name, length, self._enrolled)


@dataclass
class SoundEvents(PoolCast):
    """Sounds of any class, each one recording: silence before and after it where it is shorter than the item.

    sounds: manifest.tsv or packed folder, or several of them, with the class in the place of the speaker. events:
    lowest and highest number of sounds. classes: corpora each of which is one class more, whoever their rows name, for
    instance {speech: data/speech}. split: "train", "dev" or "test". only: these classes. repeated: whether a class
    may be drawn more than once for an item. channels: of the recordings that are kept; 1 for their mean. weights: how
    often a class is drawn, against 1 for every class that is not named.
    """

    sounds: str | list[str] | None = None
    events: tuple[int, int] = (1, 4)
    split: str = "train"
    only: list[str] | None = None
    repeated: bool = False
    channels: int = 1
    classes: dict[str, str] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    gives = ("enrolment",)

    def __post_init__(self) -> None:
        check(self, (1, 100), "events", "channels")

    @property
    def places(self) -> int:
        return self.events[1]

    @property
    def names(self) -> list[str]:
        return self.pool.names

    @property
    def where(self) -> str | list[str] | None:
        return self.sounds

    def open(self, needs: Needs, where: str | list[str]) -> SourcePool:
        rate, least = needs.sample_rate, 2 if needs.enrolment else 1
        pool = Corpus(where, self.split, self.only, sample_rate=rate, channels=self.channels, least=least)
        for name, path in self.classes.items():
            pool.add_class(name, Corpus(path, self.split, sample_rate=rate, channels=self.channels))
        if not self.repeated and len(pool.names) < self.places:
            raise InputError(
                f"{where}: {len(pool.names)} classes in split {self.split!r}, but a mixture has up to {self.places} "
                f"different ones. Set repeated to true, or lower events"
            )
        return pool

    def prepare(self, needs: Needs, pool: SourcePool | None = None) -> None:
        super().prepare(needs, pool)
        self._chances = self._drawn(self.pool.names)

    def _drawn(self, names: Sequence[str]) -> np.ndarray | None:
        """The chance of each class, or None for equal ones."""
        unknown = sorted(self.weights.keys() - set(names))
        if unknown:
            raise UsageError(f"weights: no class {', '.join(unknown)}; the classes are {', '.join(names)}")
        if any(weight <= 0 for weight in self.weights.values()):
            raise UsageError(f"weights is {self.weights}; every weight must be above 0")
        chances = np.array([self.weights.get(name, 1.0) for name in names])
        return chances / chances.sum() if self.weights else None

    def draw(self, rng: np.random.Generator) -> Sequence[Source]:
        pool = self.pool
        numbers = rng.choice(len(pool.names), self.places, replace=self.repeated, p=self._chances)
        sources = [Event(pool, pool.names[number], pool.label(pool.names[number])) for number in numbers]
        for source in sources[rng.integers(self.events[0], self.places + 1) :]:
            source.present = False
        return sources
