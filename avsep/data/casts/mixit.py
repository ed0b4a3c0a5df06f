"""Mixtures of mixtures: the cast of training without separated sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avsep.data.casts.base import Cast, Needs, Source
from avsep.data.corpus import Clip, SourcePool
from avsep.data.levels import scale_to
from avsep.data.ranges import check


@dataclass(eq=False)
class MixedSource(Source):
    """Several sources as one, up to `level_db` apart."""

    parts: Sequence[Source]
    level_db: float

    def __post_init__(self) -> None:
        self.parts = [part for part in self.parts if part.present]
        self.present = bool(self.parts)

    def read(self, rng: np.random.Generator, length: int, faces: bool = False) -> Clip:
        total: np.ndarray | None = None
        for part in self.parts:
            sound, span = (clip := part.read(rng, length)).sound, clip.span
            begin, end = span or (0, length)
            gain = scale_to(sound, rng.uniform(-self.level_db, self.level_db) / 2, end - begin)
            total = sound * gain if total is None else total + sound * gain
        assert total is not None, "a mixture of nothing is not read"
        return Clip(total)


@dataclass
class MixturesOfMixtures(Cast):
    """Each source is itself a mixture of what another cast draws: for mixture-invariant training (Wisdom et al., 2020;
    `avsep.losses.MixIT`).

    cast: what the mixtures are drawn from; recordings that are mixtures already are a cast of one source (SoundEvents
    with events [1, 1]). mixtures: how many. level_db: how far apart the sources of one mixture are at most. Sources
    have no labels.
    """

    cast: Cast
    mixtures: int = 2
    level_db: float = 5.0

    def __post_init__(self) -> None:
        check(self, (1, 100), "mixtures")
        check(self, (0.0, 200.0), "level_db")

    @property
    def together(self) -> bool:  # type: ignore[override]
        return self.cast.together

    @property
    def places(self) -> int:
        return self.mixtures

    @property
    def channels(self) -> int:
        return self.cast.channels

    @property
    def names(self) -> list[str]:
        return []

    def prepare(self, needs: Needs, pool: SourcePool | None = None) -> None:
        self.cast.prepare(needs, pool)

    def draw(self, rng: np.random.Generator) -> Sequence[Source]:
        return [MixedSource(self.cast.draw(rng), self.level_db) for _ in range(self.mixtures)]
