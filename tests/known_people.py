"""People whom tests know: voices that are tones, told apart by their pitch, and faces that are colours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_pipeline import person
from made_voices import embedding
from sound_scenes import RATE, SPEECH, Store, tones, write
from stub_models import band
from torch import Tensor

from avsep.embeddings.face import DIMENSIONS
from avsep.faces.detect import NOTHING, Detections
from avsep.signals import Track, Tracks
from avsep.storage.recording import Estimates


class Pitch:
    """In place of what tells voices: the energies in a few bands."""

    size = len(SPEECH) + 5
    between = torch.full((len(SPEECH) + 1,), 30.0)

    def statistics(self, waveform: Tensor) -> Tensor:
        bands = [*SPEECH.values(), (800.0, 1200.0)]
        energies = torch.stack([band(waveform, RATE, *edges).square().sum(1) for edges in bands], 1)
        return torch.nn.functional.normalize(energies, dim=1)

    def project(self, statistics: Tensor) -> Tensor:
        return statistics

    def place(self, projected: Tensor) -> Tensor:
        return projected * self.between.sqrt()

    def __call__(self, waveform: Tensor) -> Tensor:
        return torch.from_numpy(embedding(self.statistics(waveform).numpy()))


class Voices(Store):
    def voice(self, name: str) -> Pitch:
        assert name == "voice"
        return Pitch()


def speech_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever sounds is speech."""

    def found(sources, progress=None):
        pictures = -(-len(sources) // 640)
        x = np.pad(sources.mono(0, len(sources)), ((0, 0), (0, pictures * 640 - len(sources))))
        level = 10 * np.log10(np.square(x.reshape(len(x), pictures, 640)).mean(2) + 1e-10)
        return np.where(level > -45, 0.95, 0).astype(np.float32), level

    for module in ("voices", "enrolment", "enrolment_condition"):
        monkeypatch.setattr(f"avsep.modes.{module}.speech_and_level", found)


def enrolment(folder: Path, name: str, seconds: float = 6, rate: int = RATE, channels: int = 1) -> str:
    samples = np.tile(tones(seconds, rate, **{name: 0.05}), (channels, 1))
    return str(write(folder / f"{name}_{seconds}_{rate}_{channels}.wav", samples, rate))


class Shades:
    """In place of FaceNet: a face is its mean colour."""

    same_person = 0.9

    def __call__(self, portraits: np.ndarray) -> np.ndarray:
        colours = portraits.reshape(len(portraits), -1, 3).mean(1).astype(np.float32)
        colours = np.pad(colours, ((0, 0), (0, DIMENSIONS - 3)))
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)


RED, GREEN = (200, 20, 20), (20, 200, 20)


def shown(colour) -> object:
    """Somebody in the picture whose face has that colour."""
    one = person((0, 0, 10, 10), 4.0)
    (track,) = one.tracks
    portraits = np.full((2, 160, 160, 3), colour, np.uint8)
    return replace(one, tracks=(replace(track, portraits=portraits),), warnings=())


def tracks_of(*people) -> Tracks:
    sources = Estimates.of(np.zeros((len(people), 4 * RATE), np.float32), RATE)
    gains = np.eye(len(people), dtype=np.float32)[:, :, None].repeat(100, 2)
    speech = np.full(100, 0.9, np.float32)
    found = [Track(f"speaker_{n:02d}", "person", one, speech=speech) for n, one in enumerate(people)]
    return Tracks("audio-visual", "stub", sources, gains, found)


class Faces:
    """A detector that finds so many faces."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, pictures, smallest):
        boxes = np.array([[40 * n, 10, 40 * n + 30, 50] for n in range(self.count)], np.float32)
        made = Detections(boxes, np.zeros((self.count, 5, 2), np.float32), np.ones(self.count, np.float32))
        return [made if self.count else NOTHING]
