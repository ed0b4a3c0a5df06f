"""What recording, editing and transmission do to a sound: to the mixture as a step of a recipe, or to one source before
it is packed (preprocessing.film_sound).

p is the probability that an effect happens at all; ranges are (lowest, highest), drawn evenly. Levels in dB are against
the root mean square of the sound.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile as sf
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

from avsep.data.degradation import Degradation
from avsep.data.draft import Draft
from avsep.data.ranges import Range, check
from avsep.errors import UsageError
from avsep.media.codec import CODECS as AV_CODECS
from avsep.media.codec import coded

STEP_SECONDS = 0.002
"""In which the level of a sound is followed."""


class Effect(Degradation):
    """A change of any sound that needs nothing but its samples."""

    p: float

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        """(channels, time) float32 -> the same shape."""
        raise NotImplementedError

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        return apply_effects(mixture, [self], rng, draft.sample_rate)


def apply_effects(x: np.ndarray, effects: Sequence[Effect], rng: np.random.Generator, sample_rate: int) -> np.ndarray:
    """Those that happen, one after the other."""
    for effect in effects:
        if rng.random() < effect.p:
            x = effect.apply(x, rng, sample_rate)
    return x


@dataclass(frozen=True)
class Clipping(Effect):
    """Cuts the peaks: what is louder than the limit, a number of dB under the peak, becomes the limit."""

    p: float = 0.05
    below_peak_db: Range = (1.0, 10.0)

    def __post_init__(self) -> None:
        check(self, (0.0, 200.0), "below_peak_db")

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        limit = np.abs(x).max() * np.float32(10 ** (-rng.uniform(*self.below_peak_db) / 20))
        return np.clip(x, -limit, limit)


@dataclass(frozen=True)
class Compression(Effect):
    """Broadcast compression: what is above a threshold is brought nearer to it, and follows fast and returns slowly.

    threshold_db: against the sound's level. ratio: dB in for one dB out; 20 and more is a limiter. release_seconds:
    until the gain has come back most of the way.
    """

    p: float = 0.3
    threshold_db: Range = (-15.0, 0.0)
    ratio: Range = (2.0, 20.0)
    release_seconds: Range = (0.05, 0.4)

    def __post_init__(self) -> None:
        check(self, (1.0, 1000.0), "ratio")

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        threshold, ratio, release = (rng.uniform(*r) for r in (self.threshold_db, self.ratio, self.release_seconds))
        level, hop = _level_db(x, sample_rate, release)
        gain = (1 / ratio - 1) * np.maximum(level - threshold, 0)
        return x * _at_samples(gain, hop, x.shape[-1])


@dataclass(frozen=True)
class NoiseGate(Effect):
    """Turns the sound down where it is below a threshold, as gates and speech processors do in pauses.

    threshold_db: against the sound's level. down_db: by how much it is turned down.
    """

    p: float = 0.15
    threshold_db: Range = (-40.0, -20.0)
    down_db: Range = (10.0, 40.0)
    release_seconds: Range = (0.05, 0.3)

    def __post_init__(self) -> None:
        check(self, (0.0, 200.0), "down_db")

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        threshold, down, release = (rng.uniform(*r) for r in (self.threshold_db, self.down_db, self.release_seconds))
        level, hop = _level_db(x, sample_rate, release)
        # Open above the threshold, closed 6 dB below it.
        gain = -down * ((threshold - level) / 6).clip(0, 1)
        return x * _at_samples(gain, hop, x.shape[-1])


@dataclass(frozen=True)
class NoiseFloor(Effect):
    """Steady noise of a microphone, a room or a tape. level_db: against the sound's level; slope_db: dB an octave."""

    p: float = 0.4
    level_db: Range = (-55.0, -25.0)
    slope_db: Range = (-6.0, 0.0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        level, slope = rng.uniform(*self.level_db), rng.uniform(*self.slope_db)
        bins = np.fft.rfft(rng.standard_normal(x.shape, np.float32))
        octaves = np.log2(np.maximum(np.arange(bins.shape[-1]) * sample_rate / max(1, x.shape[-1]), 50) / 1000)
        noise = np.fft.irfft(bins * 10 ** (slope * octaves / 20), x.shape[-1])
        return x + _at_level(noise, _rms(x) * 10 ** (level / 20))


@dataclass(frozen=True)
class Hum(Effect):
    """Mains hum: 50 or 60 Hz and its harmonics. level_db: of all of them together, against the sound's level."""

    p: float = 0.08
    level_db: Range = (-45.0, -20.0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        level, mains = rng.uniform(*self.level_db), (50.0, 60.0)[rng.integers(2)]
        harmonics = np.arange(1, 9)
        heights = rng.uniform(0, 1, 8) / harmonics
        phases = rng.uniform(0, 2 * np.pi, 8)
        time = np.arange(x.shape[-1]) / sample_rate
        hum = (heights[:, None] * np.sin(2 * np.pi * mains * harmonics[:, None] * time + phases[:, None])).sum(0)
        return x + _at_level(hum, _rms(x) * 10 ** (level / 20))


CODECS = {
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ulaw": ("WAV", "ULAW"),
}


@dataclass(frozen=True)
class Codec(Effect):
    """Encodes and decodes in memory. compression: 0 is the best quality, 1 the smallest file."""

    p: float = 0.1
    formats: tuple[Literal["opus", "vorbis", "mp3", "ulaw"], ...] = ("opus", "vorbis", "mp3")
    compression: Range = (0.3, 0.99)

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "compression")
        _check_formats(self, self.formats, CODECS)

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        container, subtype = CODECS[self.formats[rng.integers(len(self.formats))]]
        level = float(rng.uniform(*self.compression))
        # Encoders take full scale as +-1.
        scale = np.float32(max(1.0, float(np.abs(x).max())))
        file = io.BytesIO()
        compression = None if subtype == "ULAW" else level
        try:
            sf.write(file, (x / scale).T, sample_rate, format=container, subtype=subtype, compression_level=compression)
        except (sf.LibsndfileError, ValueError) as error:
            raise UsageError(f"Codec: {subtype} cannot hold {x.shape} at {sample_rate} Hz: {error}") from error
        file.seek(0)
        decoded, _ = sf.read(file, frames=x.shape[-1], dtype="float32", fill_value=0.0, always_2d=True)
        return np.ascontiguousarray(decoded.T) * scale


@dataclass(frozen=True)
class BitRateCodec(Effect):
    """Encodes and decodes in memory at a bit rate, as the sound of films and calls is. kbits: kb/s, drawn evenly on a
    logarithmic scale; an encoder takes the nearest that it can."""

    p: float = 0.6
    formats: tuple[Literal["aac", "mp3", "opus"], ...] = ("aac", "mp3", "opus")
    kbits: Range = (16.0, 96.0)

    def __post_init__(self) -> None:
        check(self, (6.0, 510.0), "kbits")
        _check_formats(self, self.formats, AV_CODECS)

    def apply(self, x: np.ndarray, rng: np.random.Generator, sample_rate: int) -> np.ndarray:
        name = self.formats[rng.integers(len(self.formats))]
        kbits = float(np.exp(rng.uniform(*np.log(self.kbits))))
        return coded(x, sample_rate, name, round(1000 * kbits))


def _check_formats(owner: Effect, formats: Sequence[str], known: Sequence[str] | dict) -> None:
    if not formats or set(formats) - set(known):
        raise UsageError(f"{type(owner).__name__}: formats are {formats}; they must be of {', '.join(known)}")


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0


def _at_level(x: np.ndarray, level: float) -> np.ndarray:
    return (x * (level / (_rms(x) + 1e-12))).astype(np.float32)


def _level_db(x: np.ndarray, sample_rate: int, release_seconds: float) -> tuple[np.ndarray, int]:
    """The level of (channels, time) in steps of `hop` samples, in dB against the whole's; it rises at once and falls
    slowly."""
    hop = max(1, round(STEP_SECONDS * sample_rate))
    power = np.square(x, dtype=np.float64).mean(axis=0)
    power = np.pad(power, (0, -len(power) % hop)).reshape(-1, hop).mean(axis=1)
    # A window of 10 ms rather than single periods, then a decay: its maximum over what came before, at steps.
    power = maximum_filter1d(power, 5)
    decay = np.exp(-1 / max(1.0, release_seconds / STEP_SECONDS))
    held = np.maximum(power, lfilter([1 - decay], [1, -decay], power))
    return 10 * np.log10(held + 1e-12) - 10 * np.log10(_rms(x) ** 2 + 1e-12), hop


def _at_samples(gain_db: np.ndarray, hop: int, time: int) -> np.ndarray:
    """Gains at the middle of steps, in dB -> (time,) factors between them."""
    middles = (np.arange(len(gain_db)) + 0.5) * hop
    return (10 ** (np.interp(np.arange(time), middles, gain_db) / 20)).astype(np.float32)
