"""Different speakers: the cast of speech separation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from avsep.data.casts.base import Needs, PoolCast, PoolSource, Source
from avsep.data.corpus import Corpus, SourcePool
from avsep.data.ranges import check
from avsep.errors import InputError, UsageError


@dataclass
class Speakers(PoolCast):
    """Different speakers of one split of a corpus.

    voices: manifest.tsv, packed folder, or several of them (see `Corpus`); None where shards bring them. speakers:
    lowest and highest number; an item has as many sources as the highest. split: "train", "dev" or "test". only:
    these speakers. weights: how often each of several corpora is drawn from, as in `Corpus`. unseen: where the speakers
    beyond those whose lips are shown come from, of the same split (default: from `voices`, and then they have lips
    too). channels: of the recordings that are kept; 1 for their mean. Labels number the speakers of `voices`, then
    those of `unseen`. alike: probability that all speakers are of one of several corpora, so that what they were
    recorded with gives nobody away.
    """

    voices: str | list[str] | None = None
    speakers: tuple[int, int] = (2, 2)
    split: str = "train"
    only: list[str] | None = None
    weights: list[float] | None = None
    unseen: str | list[str] | None = None
    channels: int = 1
    alike: float = 0.0

    _unseen: SourcePool | None = field(default=None, init=False, repr=False)

    gives = ("lips", "face", "enrolment")

    def __post_init__(self) -> None:
        check(self, (1, 100), "speakers", "channels")

    @property
    def places(self) -> int:
        return self.speakers[1]

    @property
    def names(self) -> list[str]:
        return [*self.pool.names, *(self._unseen.names if self._unseen else ())]

    @property
    def where(self) -> str | list[str] | None:
        return self.voices

    def open(self, needs: Needs, where: str | list[str]) -> SourcePool:
        if self.unseen is not None and not needs.faces:
            raise UsageError(
                f"unseen is {self.unseen!r}, but no lips are shown; give the recipe the cue Lips, or leave it out"
            )
        rate, faces, least = needs.sample_rate, needs.faces > 0, 2 if needs.enrolment else 1
        pool = Corpus(where, self.split, self.only, faces, rate, self.weights, self.channels, least, needs.shows)
        needed: list[tuple[SourcePool, object, int]] = [(pool, where, self.places)]
        if self.unseen is not None:
            self._unseen = Corpus(self.unseen, self.split, None, False, rate, None, self.channels, least)
            shown = needs.faces
            needed = [(pool, where, shown), (self._unseen, self.unseen, self.places - shown)]
        for corpus, path, count in needed:
            if len(corpus.names) < count:
                raise InputError(
                    f"{path}: {len(corpus.names)} speakers in split {self.split!r}, but a mixture has up to {count}"
                )
        return pool

    def draw(self, rng: np.random.Generator) -> Sequence[Source]:
        pool, shown = self.pool, self.needs.faces
        sources = draw_speakers(pool, self.places if self._unseen is None else shown, rng, self.alike)
        if self._unseen is not None:
            others = draw_speakers(self._unseen, self.places - shown, rng)
            sources += [replace(one, label=one.label + len(pool.names)) for one in others]
        for source in sources[rng.integers(self.speakers[0], self.places + 1) :]:
            source.present = False
        return sources

    def bystanders(self, sources: Sequence[Source]) -> tuple[SourcePool, list[str]]:
        pool = self._unseen or self.pool
        used = {source.name for source in sources if isinstance(source, PoolSource) and source.pool is pool}
        return pool, [name for name in pool.names if name not in used]


def draw_speakers(pool: SourcePool, count: int, rng: np.random.Generator, alike: float = 0.0) -> list[PoolSource]:
    """Different speakers of a pool; with the probability `alike` all of one corpus."""
    names = pool.draw_names(rng, count, alike=alike > 0 and rng.random() < alike)
    return [PoolSource(pool, name, pool.label(name)) for name in names]
