"""Scenes of noise with stub models of known outputs, for the tests of modes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from stub_models import Gains

from avsep.checkpoint import Card
from avsep.media.probe import AudioInfo, ClipInfo
from avsep.models.base import SeparationModel
from avsep.models.voice_statistics import VoiceStatistics
from avsep.modes.base import Options, Scene
from avsep.signals import LIP_SIZE, FaceTrack, LipClip, Person, Tracks
from avsep.storage.recording import Recording
from avsep.storage.spool import Spool


class Store:
    """Stub models by name."""

    device, seconds = "cpu", 0.0

    def __init__(self, **models: SeparationModel) -> None:
        self.models = models

    def card(self, name: str) -> Card:
        return Card(name, "", {}, 0, "", {})

    def separation(self, name: str) -> SeparationModel:
        return self.models[name]

    def voice(self, name: str) -> VoiceStatistics:
        """One that has learnt nothing, so that all voices are one."""
        return VoiceStatistics(dims=4)


def scene(store: Store, *, people=(), model: str | None = None, channels: int = 1, rate: int = 16_000, **options):
    clip = ClipInfo(Path("clip.wav"), AudioInfo(0, rate, channels, "pcm"), None, 0.0, 4.0)
    made = Scene(clip, list(people), store, Options(**options), model)
    x = np.random.default_rng(0).standard_normal((channels, 4 * rate)).astype(np.float32)
    made._recordings[(rate, channels == 1)] = Recording.of(x, rate)
    made._recordings[(16_000, True)] = Recording.of(x[:, :64_000].mean(axis=0), 16_000)
    return made


def person(first: int = 0, pictures: int = 100, shade: int = 0) -> Person:
    crops = Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8)
    crops.append(np.full((pictures, LIP_SIZE, LIP_SIZE), shade, np.uint8))
    track = FaceTrack(
        first,
        np.zeros((pictures, 4), np.float32),
        np.zeros((pictures, 5, 2), np.float32),
        np.ones(pictures, np.float32),
        np.zeros((0, 160, 160, 3), np.uint8),
        first,
        LipClip(crops, np.ones(pictures, np.float32), first),
    )
    return Person((track,))


def both() -> Store:
    two = {name: Gains([0.6, 0.4]) for name in ("ensemble-2spk", "audio-2spk")}
    return Store(**two, **{"split-3spk": Gains([0.5, 0.3, 0.2])})


def sum_of(tracks: Tracks) -> np.ndarray:
    gains = tracks.gains[:, :, 10]
    return np.einsum("ps,sct->pct", gains, tracks.sources.read(0, 16_000)).sum(axis=0)
