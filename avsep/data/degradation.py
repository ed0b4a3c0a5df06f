"""What happens to the mixture alone: the targets stay as they were.

p is the probability that a change happens at all; ranges are (lowest, highest), drawn evenly.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import soundfile as sf

from avsep.data.casts import Cast
from avsep.data.corpus import Corpus
from avsep.data.draft import Draft
from avsep.data.levels import scale_to
from avsep.data.ranges import Range, check
from avsep.errors import UsageError


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


@dataclass(frozen=True)
class Clipping(Degradation):
    """Cuts the peaks: what is louder than the limit, a number of dB under the peak, becomes the limit."""

    p: float = 0.05
    below_peak_db: Range = (1.0, 10.0)

    def __post_init__(self) -> None:
        check(self, (0.0, 200.0), "below_peak_db")

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        if rng.random() >= self.p:
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
class Codec(Degradation):
    """Encodes and decodes the mixture in memory. compression: 0 is the best quality, 1 the smallest file."""

    p: float = 0.1
    formats: tuple[Literal["opus", "vorbis", "mp3", "ulaw"], ...] = ("opus", "vorbis", "mp3")
    compression: Range = (0.3, 0.99)

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "compression")
        if not self.formats or set(self.formats) - set(CODECS):
            raise UsageError(f"Codec: formats are {self.formats}; they must be of {', '.join(CODECS)}")

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        if rng.random() >= self.p:
            return mixture
        container, subtype = CODECS[self.formats[rng.integers(len(self.formats))]]
        level = float(rng.uniform(*self.compression))
        # Encoders take full scale as +-1.
        scale = np.float32(max(1.0, float(np.abs(mixture).max())))
        file = io.BytesIO()
        rate, compression = draft.sample_rate, None if subtype == "ULAW" else level
        try:
            sf.write(file, (mixture / scale).T, rate, format=container, subtype=subtype, compression_level=compression)
        except (sf.LibsndfileError, ValueError) as error:
            raise UsageError(f"Codec: {subtype} cannot hold {mixture.shape} at {rate} Hz: {error}") from error
        file.seek(0)
        decoded, _ = sf.read(file, frames=mixture.shape[-1], dtype="float32", fill_value=0.0, always_2d=True)
        return np.ascontiguousarray(decoded.T) * scale
