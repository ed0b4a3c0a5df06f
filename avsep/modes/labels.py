"""What sounds in estimates: their level second by second, and the probabilities of classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from avsep.dsp.resample import resample
from avsep.storage.recording import Estimates

if TYPE_CHECKING:
    from avsep.models.sound_classifier import SoundClassifier

CLASSIFIER = "sounds"
"""The bundled classifier, which names what a model of sounds separates."""

CHUNK_SECONDS = 10
"""Sound that is classified in one piece; bounds the memory."""

SILENCE = 1e-10
"""Power, -100 dB of full scale, below which nothing sounds."""

Reader = Callable[[int, int], np.ndarray]
"""Gives samples start..stop of one or more sounds: (sounds, time)."""


def second_powers(sources: Estimates) -> np.ndarray:
    """Mean square of each source in each second, a last part of a second counted as a whole one with silence:
    (sources, seconds)."""
    rate = sources.sample_rate
    powers = [
        np.square(sources.mono(start, start + rate), dtype=np.float64).sum(axis=1) / rate
        for start in range(0, len(sources), rate)
    ]
    return np.stack(powers, axis=1) if powers else np.zeros((sources.count, 0))


def class_probabilities(
    classifier: SoundClassifier, read: Reader, start: int, stop: int, sample_rate: int, device: str = "cpu"
) -> np.ndarray:
    """Probabilities in 0..1 of the classifier's classes over samples start..stop: (sounds, classes).

    Of a long sound it is the mean over pieces, each weighted by its energy: a sound that is rare is named by the
    moments at which it sounds.
    """
    import torch

    size = CHUNK_SECONDS * sample_rate
    total: np.ndarray | None = None
    weight = np.zeros(0)
    for at in range(start, stop, size):
        x = read(at, min(at + size, stop))
        given = torch.from_numpy(np.ascontiguousarray(resample(x, sample_rate, classifier.sample_rate), np.float32))
        with torch.inference_mode():
            found = classifier.probabilities(given.to(device)).float().cpu().numpy().astype(np.float64)
        energy = np.square(x, dtype=np.float64).sum(axis=1) + 1e-12
        total = found * energy[:, None] if total is None else total + found * energy[:, None]
        weight = energy if not weight.size else weight + energy
    if total is None:
        return np.zeros((len(read(start, start)), len(classifier.names)))
    return total / weight[:, None]
