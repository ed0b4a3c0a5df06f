"""Scenes of tones that stand for sounds, and models that take them apart without any error, for tests of the universal
mode and of choosing a sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import stub_scenes
from stub_models import BandClassifier, Bands

from avsep.models.base import SeparationModel
from avsep.pipeline import Separator

RATE = 16_000
VOICES = {"low": 200.0, "high": 500.0}
SOUNDS = {"dog_bark": 1000.0, "rain": 2000.0, "clock_tick": 4000.0}
"""The frequency of each, in Hz."""
CLASSES = {name: (hz - 200, hz + 200) for name, hz in SOUNDS.items()}
SPEECH = {name: (hz - 140, hz + 140) for name, hz in VOICES.items()}


class Store(stub_scenes.Store):
    """Stub models by name, in place of those on disk."""

    def __init__(self, classifier: BandClassifier | None = None, **models: SeparationModel) -> None:
        self.sounds = classifier or BandClassifier(CLASSES)
        bundled = {
            "universal": Bands([*CLASSES.values(), (7000, 7900)]),
            "ensemble-2spk": Bands(list(SPEECH.values()), kind="voice"),
            "audio-2spk": Bands(list(SPEECH.values()), kind="voice"),
            "split-3spk": Bands([*SPEECH.values(), (6000, 6500)], kind="voice"),
        }
        super().__init__(**bundled | models)

    def classifier(self, name: str) -> BandClassifier:
        assert name == "sounds"
        return self.sounds


def separator(store: Store, model: str | None = "universal") -> Separator:
    made = Separator(device="cpu")
    made.models, made.model = store, model
    return made


def tones(seconds: float, rate: int = RATE, **levels: float | tuple[float, float, float]) -> np.ndarray:
    """(time,) float32: a tone for each name, with its amplitude or (amplitude, from, to) in seconds."""
    time = np.arange(round(seconds * rate)) / rate
    total = np.zeros(len(time))
    for name, level in levels.items():
        amplitude, start, stop = level if isinstance(level, tuple) else (level, 0.0, seconds)
        wave = amplitude * np.sin(2 * np.pi * (SOUNDS | VOICES)[name] * time)
        total += np.where((time >= start) & (time < stop), wave, 0)
    return total.astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    sf.write(path, samples.T, rate, subtype="FLOAT")
    return path


def read(path: Path) -> np.ndarray:
    return sf.read(path, dtype="float32", always_2d=True)[0].T


def check_sum(folder: Path, manifest: dict, mixture: np.ndarray) -> None:
    """Tracks and residual add up to the mixture, (channels, time) or (time,)."""
    parts = [read(folder / track["audio"]) for track in manifest["tracks"]] + [read(folder / manifest["residual"])]
    np.testing.assert_allclose(sum(parts), np.atleast_2d(mixture), atol=2e-6)


def level_of(samples: np.ndarray, name: str, rate: int = RATE) -> float:
    """The amplitude of a tone in samples (channels, time) or (time,)."""
    x = np.atleast_2d(samples)[0]
    turn = np.exp(-2j * np.pi * (SOUNDS | VOICES)[name] * np.arange(len(x)) / rate)
    return float(2 * abs(x @ turn) / len(x))


def fixed_speech(monkeypatch: pytest.MonkeyPatch, *probabilities: float) -> None:
    """The probability of speech of each source, in place of the detector; 0 for those beyond."""

    def found(sources, progress=None):  # type: ignore[no-untyped-def]
        pictures = -(-len(sources) * 25 // RATE)
        values = [*probabilities, *[0.0] * sources.count][: sources.count]
        shape = (sources.count, pictures)
        return np.broadcast_to(np.array(values, np.float32)[:, None], shape).copy(), np.full(shape, -20, np.float32)

    monkeypatch.setattr("avsep.modes.voices.speech_and_level", found)
