"""What every cast is: it draws the sources of an item, whose sound is read only when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avsep.data.corpus import Clip, SourcePool
from avsep.data.item import NO_LABEL
from avsep.errors import UsageError


@dataclass(frozen=True)
class Needs:
    """What a recipe needs of its cast. sample_rate: in Hz. faces: of so many sources, the first ones, what `shows`
    names: "lips", "face" or both. enrolment: whether another utterance of each source."""

    sample_rate: int
    faces: int = 0
    enrolment: bool = False
    shows: tuple[str, ...] = ("lips",)


class Source:
    """One source of an item, before its sound is read.

    label: number of its speaker, class or stem in the cast's `names`; -1 for none. present: whether it sounds at all;
    an item has as many sources as the most its cast draws.
    """

    label: int = NO_LABEL
    present: bool = True

    def read(self, rng: np.random.Generator, length: int, faces: bool = False) -> Clip:
        """A stretch of `length` samples, with what the face shows if faces are asked for."""
        raise NotImplementedError

    def enrol(self, rng: np.random.Generator, length: int) -> np.ndarray:
        """(length,) of another utterance than those that `read` gives from then on."""
        raise NotImplementedError


class Cast:
    """Who is in a mixture. gives: the cues it can make: "lips", "face", "enrolment". together: its sources are parts of
    one recording, and have one speed."""

    # Annotated with builtins alone: jsonargparse reads the annotations of a base with the names of the module that a
    # dataclass is in, and checks no option of it where one is missing there.
    gives: tuple[str, ...] = ()
    together: bool = False

    @property
    def places(self) -> int:
        """Sources of an item: the most that are drawn."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Of the sound of a source."""
        return 1

    @property
    def names(self) -> list[str]:
        """What labels number, once the cast is prepared."""
        raise NotImplementedError

    def prepare(self, needs: Needs, pool: SourcePool | None = None) -> None:
        """Open the corpus: once, before workers start. pool: draw from this one instead, of a stream; UsageError from a
        cast that cannot."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> Sequence[Source]:
        """The sources of one item."""
        raise NotImplementedError

    def bystanders(self, sources: Sequence[Source]) -> tuple[SourcePool, list[str]]:
        """Speakers who are in none of the sources, and where they are drawn from."""
        raise UsageError(f"{type(self).__name__} knows no other speakers; babble needs the cast Speakers")


@dataclass(eq=False)
class PoolSource(Source):
    """A speaker or class of a pool."""

    pool: SourcePool
    name: str
    label: int = NO_LABEL
    present: bool = True
    _enrolled: Any = field(default=None, init=False)

    def read(self, rng: np.random.Generator, length: int, faces: bool = False) -> Clip:
        return self.pool.draw(rng, self.name, length, faces, self._enrolled)

    def enrol(self, rng: np.random.Generator, length: int) -> np.ndarray:
        self._enrolled = self.pool.draw_entry(rng, self.name)
        size = max(1, self.pool.samples(self._enrolled))
        offset = int(rng.integers(max(1, size - length + 1)))
        sound = self.pool.sound(self._enrolled, offset, min(size, length)).mean(axis=0)
        # One that is too short begins again.
        return np.resize(sound, length)


class PoolCast(Cast):
    """A cast that draws from a pool: a corpus of its own, or what a stream has at hand."""

    @property
    def pool(self) -> SourcePool:
        return self._prepared[1]

    @property
    def needs(self) -> Needs:
        return self._prepared[0]

    @property
    def _prepared(self) -> tuple[Needs, SourcePool]:
        if not hasattr(self, "_opened"):
            raise RuntimeError(f"{type(self).__name__} draws only after `prepare`")
        return self._opened

    @property
    def where(self) -> str | list[str] | None:
        """The corpus that the options name."""
        raise NotImplementedError

    def open(self, needs: Needs, where: str | list[str]) -> SourcePool:
        """The corpus of the options."""
        raise NotImplementedError

    def prepare(self, needs: Needs, pool: SourcePool | None = None) -> None:
        kind = type(self).__name__
        if pool is not None:
            if self.where is not None:
                raise UsageError(f"{kind}: draws from {self.where!r}, but its sounds come from shards; leave it out")
            if pool.channels != self.channels:
                raise UsageError(f"{kind}: channels is {self.channels}, but shards have {pool.channels}")
        elif self.where is None:
            raise UsageError(f"{kind}: no corpus is named; give a manifest.tsv or a packed folder")
        elif getattr(self, "_opened", (None,))[0] == needs:
            return
        self._opened: tuple[Needs, SourcePool] = (needs, pool or self.open(needs, self.where or ""))
