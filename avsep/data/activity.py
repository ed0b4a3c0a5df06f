"""Which source of a mixture is active when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsep.data.ranges import check


class Activity:
    """Silences sources, or stretches of them. A cue of a silenced source is given all the same."""

    def __call__(self, active: np.ndarray, rng: np.random.Generator) -> None:
        """Change `active` (sources, time), True where a source may sound, in place."""
        raise NotImplementedError


@dataclass(frozen=True)
class Pauses(Activity):
    """Mixtures as conversations have them. alone: probability of one source only. partial: probability that one source
    is silent in the middle, or around the middle."""

    alone: float = 0.1
    partial: float = 0.25

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "alone", "partial")

    def __call__(self, active: np.ndarray, rng: np.random.Generator) -> None:
        case = rng.random()
        if case < self.alone:
            active[1:] = False
        elif case < self.alone + self.partial:
            begin, end = np.sort(rng.integers(0, active.shape[1], 2))
            if rng.random() < 0.5:
                active[-1, begin:end] = False
            else:
                active[-1, :begin] = active[-1, end:] = False


@dataclass(frozen=True)
class TargetCases(Activity):
    """The four cases of a target speaker (Pan et al., USEV, 2022), the target being the first source: weights of target
    and interference, target only, interference only, and neither."""

    both: float = 0.7
    target: float = 0.1
    interference: float = 0.15
    neither: float = 0.05

    def __post_init__(self) -> None:
        check(self, (0.0, 1e9), "both", "target", "interference", "neither")

    def __call__(self, active: np.ndarray, rng: np.random.Generator) -> None:
        weights = np.array([self.both, self.target, self.interference, self.neither])
        case = rng.choice(4, p=weights / weights.sum())
        if case in (1, 3):
            active[1:] = False
        if case in (2, 3):
            active[0] = False
