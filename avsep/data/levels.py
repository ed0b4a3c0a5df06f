"""How loud the sources of a mixture are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsep.data.ranges import Range, check


class Levels:
    """Gives each source of an item its gain."""

    def base(self, rng: np.random.Generator) -> float | None:
        """The level in dB around which the sources of an item lie; None where it is that of the recordings."""
        raise NotImplementedError

    def draw(self, base: float | None, rng: np.random.Generator) -> float:
        """Of one source, in dB: what `gain` takes."""
        raise NotImplementedError

    def gain(self, x: np.ndarray, drawn: float, count: int) -> np.float32:
        """The factor of a source (channels, time) that sounds in `count` of its samples."""
        raise NotImplementedError


@dataclass(frozen=True)
class Loudness(Levels):
    """Sources brought to a drawn level. loudness_db: level (root mean square against full scale) around which the
    sources of an item lie. level_db: how far apart they are at most."""

    loudness_db: Range = (-35.0, -18.0)
    level_db: float = 5.0

    def __post_init__(self) -> None:
        check(self, (0.0, 200.0), "level_db")

    def base(self, rng: np.random.Generator) -> float | None:
        return float(rng.uniform(*self.loudness_db))

    def draw(self, base: float | None, rng: np.random.Generator) -> float:
        return (base or 0.0) + rng.uniform(-self.level_db, self.level_db) / 2

    def gain(self, x: np.ndarray, drawn: float, count: int) -> np.float32:
        return scale_to(x, drawn, count)


@dataclass(frozen=True)
class AsRecorded(Levels):
    """Sources keep the level of their recording, times a drawn gain: for the stems of a song, which were mixed already.

    gain_db: range of the gain, drawn for each source.
    """

    gain_db: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        check(self, (-100.0, 100.0), "gain_db")

    def base(self, rng: np.random.Generator) -> float | None:
        return None

    def draw(self, base: float | None, rng: np.random.Generator) -> float:
        return float(rng.uniform(*self.gain_db))

    def gain(self, x: np.ndarray, drawn: float, count: int) -> np.float32:
        return np.float32(10 ** (drawn / 20))


def scale_to(x: np.ndarray, level_db: float, count: int) -> np.float32:
    """The factor that gives (time,) or (channels, time) a root mean square of `level_db`, taken over `count` samples of
    each channel."""
    power = float(np.vdot(x, x)) / max(1, count * (len(x) if x.ndim > 1 else 1))
    return np.float32(10 ** (level_db / 20) / (np.sqrt(power) + 1e-6))


def level_of(x: np.ndarray) -> float:
    """Root mean square of an array in dB against full scale; -120 for silence."""
    return 10 * float(np.log10(np.mean(np.square(x, dtype=np.float64)) + 1e-12))
