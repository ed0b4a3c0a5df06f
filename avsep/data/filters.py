"""What changes one source on its own: its speed, and filters. Ranges are (lowest, highest), drawn evenly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsep.data.ranges import Range, check


@dataclass(frozen=True)
class Speed:
    """Plays a source faster or slower, pitch and tempo together, and its lips with it (linear interpolation)."""

    factor: Range = (0.9, 1.1)

    def __post_init__(self) -> None:
        check(self, (0.25, 4.0), "factor")

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(*self.factor))

    @staticmethod
    def needed(length: int, factor: float) -> int:
        """Samples that become `length` samples."""
        return int(np.ceil(length * factor)) + 1

    @staticmethod
    def sound(x: np.ndarray, factor: float, length: int) -> np.ndarray:
        """(..., `needed`) -> (..., length) float32."""
        places = np.arange(length) * factor
        below = places.astype(np.int64)
        part = (places - below).astype(np.float32)
        low = x[..., below]
        return low + part * (x[..., below + 1] - low)

    @staticmethod
    def lips(lips: np.ndarray, factor: float, pictures: int) -> np.ndarray:
        """The nearest pictures: (n, ...) -> (pictures, ...)."""
        return lips[np.minimum((np.arange(pictures) * factor + 0.5).astype(np.int64), len(lips) - 1)]


class Filter:
    """A change that is a gain for each frequency; all filters of a source are one multiplication of its spectrum."""

    def gains(self, frequency: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """(bins,) float32 for frequencies (bins,) in Hz, or None where it leaves the source as it is."""
        raise NotImplementedError


@dataclass(frozen=True)
class Equaliser(Filter):
    """Tilt of the spectrum and a slow wave over it, around 1 kHz: microphones, distances, tone controls.

    p: probability. tilt_db: dB an octave. wave_db: height of the wave. waves: its turns, in radians an octave.
    """

    p: float = 0.6
    tilt_db: Range = (-3.0, 3.0)
    wave_db: Range = (-3.0, 3.0)
    waves: Range = (0.5, 2.0)

    def __post_init__(self) -> None:
        check(self)

    def gains(self, frequency: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        if rng.random() >= self.p:
            return None
        octaves = np.log2(np.maximum(frequency, 60) / np.float32(1000))
        tilt, height, turns = (np.float32(rng.uniform(*r)) for r in (self.tilt_db, self.wave_db, self.waves))
        return np.exp2((tilt * octaves + height * np.cos(turns * octaves)) * np.float32(np.log2(10) / 20))


@dataclass(frozen=True)
class BandLimit(Filter):
    """A low pass and, with `low_hz`, a high pass: telephones, old recordings. p: probability. Ranges in Hz are of the
    -3 dB points."""

    p: float = 0.25
    high_hz: Range = (3200.0, 7200.0)
    low_hz: Range | None = None

    def __post_init__(self) -> None:
        check(self, (1.0, 1e5), "high_hz", "low_hz")

    def gains(self, frequency: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        if rng.random() >= self.p:
            return None
        gains = 1 / (1 + (frequency / np.float32(rng.uniform(*self.high_hz))) ** 24)
        if self.low_hz is not None:
            gains = gains * (1 - 1 / (1 + (frequency / np.float32(rng.uniform(*self.low_hz))) ** 8))
        return gains.astype(np.float32, copy=False)
