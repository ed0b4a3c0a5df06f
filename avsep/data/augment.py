"""What happens to sound between a clean recording and a microphone's file: each change a small class with its ranges.

Everything is drawn from the generator that is handed in, so that an item depends on its seed and number alone.
`share` is the share of cases in which a change happens at all; ranges are (lowest, highest), drawn evenly.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile as sf

from avsep.data.corpus import Corpus
from avsep.errors import UsageError
from avsep.signals import SAMPLE_RATE

Range = tuple[float, float]


def check(owner: object, limits: tuple[float, float] = (-float("inf"), float("inf")), *names: str) -> None:
    """Raise UsageError for a share outside 0..1, a range that falls, or one of `names` outside `limits`."""
    kind = type(owner).__name__
    for name, value in vars(owner).items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        low, high = (0.0, 1.0) if name == "share" else limits if name in names else (-float("inf"), float("inf"))
        numbers = [v for v in values if isinstance(v, int | float)]
        if any(not low <= v <= high for v in numbers):
            raise UsageError(f"{kind}: {name} is {value}; it must lie in {low:g} to {high:g}")
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            raise UsageError(f"{kind}: {name} is {value}; a range goes from low to high")


# ---- one voice, as it leaves the mouth ----


@dataclass(frozen=True)
class Speed:
    """Plays a voice faster or slower, pitch and tempo together, and its lips with it (linear interpolation)."""

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
        """(`needed`,) -> (length,) float32."""
        places = np.arange(length) * factor
        below = places.astype(np.int64)
        part = (places - below).astype(np.float32)
        low = x[below]
        return low + part * (x[below + 1] - low)

    @staticmethod
    def lips(lips: np.ndarray, factor: float, pictures: int) -> np.ndarray:
        """The nearest pictures: (n, h, w) -> (pictures, h, w)."""
        return lips[np.minimum((np.arange(pictures) * factor + 0.5).astype(np.int64), len(lips) - 1)]


class Filter:
    """A change that is a gain for each frequency; all filters of a voice are one multiplication of its spectrum."""

    def gains(self, frequency: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """(bins,) float32 for frequencies (bins,) in Hz, or None where it leaves the voice as it is."""
        raise NotImplementedError


@dataclass(frozen=True)
class Equaliser(Filter):
    """Tilt of the spectrum and a slow wave over it, around 1 kHz: microphones, distances, tone controls.

    tilt_db: dB an octave. wave_db: height of the wave. waves: its turns, in radians an octave.
    """

    share: float = 0.6
    tilt_db: Range = (-3.0, 3.0)
    wave_db: Range = (-3.0, 3.0)
    waves: Range = (0.5, 2.0)

    def __post_init__(self) -> None:
        check(self)

    def gains(self, frequency: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        if rng.random() >= self.share:
            return None
        octaves = np.log2(np.maximum(frequency, 60) / np.float32(1000))
        tilt, height, turns = (np.float32(rng.uniform(*r)) for r in (self.tilt_db, self.wave_db, self.waves))
        return np.exp2((tilt * octaves + height * np.cos(turns * octaves)) * np.float32(np.log2(10) / 20))


@dataclass(frozen=True)
class BandLimit(Filter):
    """A low pass and, with `low_hz`, a high pass: telephones, old recordings. Ranges in Hz are of the -3 dB points."""

    share: float = 0.25
    high_hz: Range = (3200.0, 7200.0)
    low_hz: Range | None = None

    def __post_init__(self) -> None:
        check(self, (1.0, 1e5), "high_hz", "low_hz")

    def gains(self, frequency: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        if rng.random() >= self.share:
            return None
        gains = 1 / (1 + (frequency / np.float32(rng.uniform(*self.high_hz))) ** 24)
        if self.low_hz is not None:
            gains = gains * (1 - 1 / (1 + (frequency / np.float32(rng.uniform(*self.low_hz))) ** 8))
        return gains.astype(np.float32, copy=False)


# ---- who speaks when ----


class Activity:
    """Silences voices, or stretches of them. Faces whose voice is silenced are still seen."""

    def __call__(self, loud: np.ndarray, rng: np.random.Generator) -> None:
        """Change `loud` (voices, time), True where a voice may be heard, in place."""
        raise NotImplementedError


@dataclass(frozen=True)
class Pauses(Activity):
    """Mixtures as talk has them. alone: share with one voice only. partial: share in which one voice is silent in the
    middle, or around the middle."""

    alone: float = 0.1
    partial: float = 0.25

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "alone", "partial")

    def __call__(self, loud: np.ndarray, rng: np.random.Generator) -> None:
        fate = rng.random()
        if fate < self.alone:
            loud[1:] = False
        elif fate < self.alone + self.partial:
            begin, end = np.sort(rng.integers(0, loud.shape[1], 2))
            if rng.random() < 0.5:
                loud[-1, begin:end] = False
            else:
                loud[-1, :begin] = loud[-1, end:] = False


@dataclass(frozen=True)
class TargetCases(Activity):
    """The four cases of a target speaker (Pan et al., USEV, 2022), the target being the first voice: weights of target
    and interference, target only, interference only, and neither."""

    both: float = 0.7
    target: float = 0.1
    interference: float = 0.15
    neither: float = 0.05

    def __post_init__(self) -> None:
        check(self, (0.0, 1e9), "both", "target", "interference", "neither")

    def __call__(self, loud: np.ndarray, rng: np.random.Generator) -> None:
        weights = np.array([self.both, self.target, self.interference, self.neither])
        case = rng.choice(4, p=weights / weights.sum())
        if case in (1, 3):
            loud[1:] = False
        if case in (2, 3):
            loud[0] = False


# ---- the mixture, at the microphone and after ----


@dataclass(frozen=True)
class Noise:
    """Sound that nobody asked for, added to the mixture.

    sounds: manifest.tsv or packed folder, as for voices. below_db: its level under that of the voices. Sounds
    shorter than the mixture are followed by others of their class.
    """

    sounds: str
    share: float = 0.35
    below_db: Range = (0.0, 25.0)
    split: str = "train"

    def __post_init__(self) -> None:
        check(self)

    def corpus(self, sample_rate: int) -> Corpus:
        return Corpus(self.sounds, self.split, sample_rate=sample_rate)


@dataclass(frozen=True)
class Babble:
    """People who talk in the background, of whom no track is wanted, added to the mixture.

    voices: how many, other speakers than those of the mixture. below_db: the level of all of them together under that
    of the mixture's voices.
    """

    share: float = 0.1
    voices: tuple[int, int] = (4, 8)
    below_db: Range = (0.0, 20.0)

    def __post_init__(self) -> None:
        check(self, (1, 1000), "voices")


class Damage:
    """What happens to the mixture alone: the sources stay as they were."""

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        """(..., time) float32 -> the same shape."""
        raise NotImplementedError


@dataclass(frozen=True)
class Clipping(Damage):
    """Cuts the peaks: what is louder than the limit, a number of dB under the peak, becomes the limit."""

    share: float = 0.05
    below_peak_db: Range = (1.0, 10.0)

    def __post_init__(self) -> None:
        check(self, (0.0, 200.0), "below_peak_db")

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        if rng.random() >= self.share:
            return mixture
        limit = np.abs(mixture).max() * np.float32(10 ** (-rng.uniform(*self.below_peak_db) / 20))
        return np.clip(mixture, -limit, limit)


CODECS = {
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ulaw": ("WAV", "ULAW"),
}


@dataclass(frozen=True)
class Codec(Damage):
    """Encodes and decodes the mixture in memory. compression: 0 is the best quality, 1 the smallest file."""

    share: float = 0.1
    formats: tuple[Literal["opus", "vorbis", "mp3", "ulaw"], ...] = ("opus", "vorbis", "mp3")
    compression: Range = (0.3, 0.99)

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "compression")
        if not self.formats or set(self.formats) - set(CODECS):
            raise UsageError(f"Codec: formats are {self.formats}; they must be of {', '.join(CODECS)}")

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
        if rng.random() >= self.share:
            return mixture
        container, subtype = CODECS[self.formats[rng.integers(len(self.formats))]]
        level = float(rng.uniform(*self.compression))
        # Encoders take full scale as +-1.
        scale = np.float32(max(1.0, float(np.abs(mixture).max())))
        file = io.BytesIO()
        compression = None if subtype == "ULAW" else level
        try:
            sf.write(
                file, (mixture / scale).T, sample_rate, format=container, subtype=subtype, compression_level=compression
            )
        except (sf.LibsndfileError, ValueError) as error:
            raise UsageError(f"Codec: {subtype} cannot hold {mixture.shape} at {sample_rate} Hz: {error}") from error
        file.seek(0)
        decoded, _ = sf.read(file, frames=mixture.shape[-1], dtype="float32", fill_value=0.0)
        return np.ascontiguousarray(decoded.T) * scale


def sound_files(path: Path) -> list[Path]:
    """The sound files of a folder and what lies under it, in alphabetical order."""
    suffixes = {f".{name.lower()}" for name in sf.available_formats()} | {".opus"}
    return sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
