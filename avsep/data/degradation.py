"""What happens to the mixture alone: the targets stay as they were. Noise and voices in the background are here, what
is done to its samples in avsep.data.effects.

p is the probability that a change happens at all; ranges are (lowest, highest), drawn evenly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avsep.data.casts import Cast
from avsep.data.corpus import Corpus
from avsep.data.draft import Draft
from avsep.data.levels import scale_to
from avsep.data.ranges import Range, check


class Degradation:
    """A change of the mixture."""

    def prepare(self, cast: Cast, sample_rate: int) -> None:
        """What is opened once, before workers start. Raises UsageError for a cast that does not fit."""

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        """(channels, time) float32 -> the same shape. draft: the item it is the mixture of."""
        raise NotImplementedError


@dataclass
class Noise(Degradation):
    """Sounds that are no target, in the room of the sources.

    sounds: manifest.tsv or packed folder. below_db: its level under that of the sources. Sounds shorter than the
    mixture are followed by others of their class.
    """

    sounds: str
    p: float = 0.35
    below_db: Range = (0.0, 25.0)
    split: str = "train"

    _corpus: Corpus | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check(self)

    def prepare(self, cast: Cast, sample_rate: int) -> None:
        if self._corpus is None or (self._corpus.sample_rate, self._corpus.channels) != (sample_rate, cast.channels):
            self._corpus = Corpus(self.sounds, self.split, sample_rate=sample_rate, channels=cast.channels)

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        if rng.random() >= self.p:
            return mixture
        assert self._corpus is not None, "noise is drawn only after `prepare`"
        name = self._corpus.names[rng.integers(len(self._corpus.names))]
        sound = self._corpus.draw(rng, name, draft.length).sound
        return mixture + draft.background(sound, rng.uniform(*self.below_db), rng)


@dataclass(frozen=True)
class Babble(Degradation):
    """People who talk in the background and are no target.

    talkers: how many, other speakers than those of the mixture, each as loud as the others. below_db: the level of all
    of them together under that of the sources.
    """

    p: float = 0.1
    talkers: tuple[int, int] = (4, 8)
    below_db: Range = (0.0, 20.0)

    def __post_init__(self) -> None:
        check(self, (1, 1000), "talkers")

    def prepare(self, cast: Cast, sample_rate: int) -> None:
        cast.bystanders(())

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        if rng.random() >= self.p:
            return mixture
        pool, others = draft.cast.bystanders(draft.sources)
        count = min(len(others), int(rng.integers(self.talkers[0], self.talkers[1] + 1)))
        crowd = np.zeros((pool.channels, draft.length), np.float32)
        for number in rng.choice(len(others), count, replace=False):
            sound = pool.draw(rng, others[number], draft.length).sound
            crowd += sound * scale_to(sound, 0.0, draft.length)
        return mixture + draft.background(crowd, rng.uniform(*self.below_db), rng)
