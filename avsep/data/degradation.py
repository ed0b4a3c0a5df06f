"""What happens to the mixture alone: the targets stay as they were. Noise and voices in the background are here, what
is done to its samples in avsep.data.effects.

p is the probability that a change happens at all; ranges are (lowest, highest), drawn evenly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from avsep.data.casts import Cast
from avsep.data.corpus import Corpus
from avsep.data.draft import Draft
from avsep.data.levels import scale_to
from avsep.data.ranges import Range, check
from avsep.data.rooms import SPEED_OF_SOUND

DIFFUSE_WINDOW = 512
"""Samples over which diffuse noise is made at a time: longer than the sound's way from microphone to microphone."""


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
class DiffuseNoise(Degradation):
    """Noise that comes from everywhere alike, as of a room full of machines: microphones that are close together get
    nearly the same, and those more than half a wavelength apart something else (spherically isotropic noise; made as by
    Habets, Cohen and Gannot, Generating nonstationary multisensor signals under a spatial coherence constraint, 2008).

    below_db: its level under that of the sources at the first microphone, slope_db: dB an octave. It needs the
    positions of the microphones (`Rooms.positions`); where an item has none, it is other noise in each channel.
    """

    p: float = 0.5
    below_db: Range = (10.0, 30.0)
    slope_db: Range = (-6.0, 0.0)

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, mixture: np.ndarray, rng: np.random.Generator, draft: Draft) -> np.ndarray:
        if rng.random() >= self.p:
            return mixture
        level, slope = draft.level_db - rng.uniform(*self.below_db), rng.uniform(*self.slope_db)
        channels, time = mixture.shape
        positions = None if draft.room is None else draft.room.microphones
        frequencies = np.fft.rfftfreq(DIFFUSE_WINDOW, 1 / draft.sample_rate)
        mixing = np.eye(channels) if positions is None else isotropic_mixing(positions, frequencies)
        gains = 10 ** (slope * np.log2(np.maximum(frequencies, 50.0) / 1000) / 20)
        hop = DIFFUSE_WINDOW // 2
        frames = time // hop + 2
        # Real and imaginary parts one beside the other: the matrices are real.
        drawn = rng.standard_normal((len(frequencies), channels, 2 * frames), np.float32)
        mixed = (gains[:, None, None] * mixing).astype(np.float32) @ drawn
        spectra = np.ascontiguousarray(mixed.view(np.complex64).transpose(1, 2, 0))
        # The squares of these windows add up to 1.
        window = np.sin(np.pi * (np.arange(DIFFUSE_WINDOW) + 0.5) / DIFFUSE_WINDOW).astype(np.float32)
        blocks = fft.irfft(spectra, DIFFUSE_WINDOW) * window
        noise = (blocks[:, 1:, :hop] + blocks[:, :-1, hop:]).reshape(channels, -1)[:, :time]
        return mixture + noise * scale_to(noise[:1], level, time)


def isotropic_mixing(positions: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Matrices (frequencies, microphones, microphones) that give independent noises the coherence which noise from all
    directions has at microphones at `positions` (microphones, 3) in m: sin(x) / x, where x is the distance in
    wavelengths times 2 pi."""
    metres = np.linalg.norm(positions[:, None] - positions, axis=-1)
    coherence = np.sinc(2 * frequencies[:, None, None] * metres / SPEED_OF_SOUND)
    # Regular also at 0 Hz and for microphones at one place: noise of their own, 40 dB below.
    return np.linalg.cholesky(coherence + 1e-4 * np.eye(len(positions)))


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
