"""A small data module and configurations for the tests of the training loop; items are a function of their number."""

from __future__ import annotations

import copy
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, Dataset

from avsep.data.order import training_loader, validation_loader
from avsep.losses import PermutationInvariant

TINY = {"filters": 8, "kernel": 16, "stride": 8, "bottleneck": 8, "hidden": 8, "blocks": 2, "repeats": 2}
TINY_LIP = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1, "size": 24}
TINY_SYNCHRONY = {"lip": TINY_LIP, "voice": {"channels": 4, "width": 4, "temporal_blocks": 1}}
PICTURES, TALKING_PICTURES = 3, 12
IMPORTS = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
"""PYTHONPATH of a process that trains with this module."""


CLASSES = ("rumble", "hiss", "tone", "clicks")
"""What the sources of an item are; the label of a source is its place here."""


def draw_sound(kind: str, length: int, rng: np.random.Generator) -> np.ndarray:
    """(length,) of one of the classes."""
    noise = rng.standard_normal(length)
    if kind == "rumble":
        return np.cumsum(noise) * 0.05
    if kind == "hiss":
        return noise * 0.3
    if kind == "tone":
        return 0.5 * np.sin(2 * np.pi * rng.uniform(0.02, 0.06) * np.arange(length))
    return np.convolve(4.0 * (rng.random(length) < 0.01), np.exp(-np.arange(40) / 8.0), "full")[:length]


def at_microphones(sound: np.ndarray, place: int, channels: int, delay: int) -> np.ndarray:
    """(time,) -> (channels, time): later and fainter at every further microphone, in the direction of the place."""
    images = [
        np.roll(sound, channel * delay * (-1) ** place) * (0.8 + 0.1 * place) ** channel for channel in range(channels)
    ]
    return np.stack(images)


class Items(Dataset):
    """Mixtures of sounds of different classes.

    sources: two are rumble and hiss; of more, each item draws how many there are and their classes, the rest being
    silent. channels: each source has its own delay, a multiple of `delay` samples, and gain at every one. alike: both
    are hiss, so that nothing but the place tells them apart. cues: names of `CUES`. broken: number of an item with a
    NaN. alone: numbers of items in which only the first source is not silent.
    """

    def __init__(
        self,
        seed: int,
        items: int,
        sources: int = 2,
        channels: int = 1,
        delay: int = 3,
        alike: bool = False,
        cues: Sequence[str] = (),
        broken: int | None = None,
        alone: Sequence[int] = (),
    ) -> None:
        self.seed, self.items, self.count, self.channels, self.delay = seed, items, sources, channels, delay
        self.alike, self.cues, self.broken, self.alone = alike, cues, broken, alone

    def __len__(self) -> int:
        return self.items

    def draw_labels(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """(sources,) int64, -1 for silence."""
        labels = np.full(self.count, -1)
        if self.count == 2:
            labels[:] = (1, 1) if self.alike else (0, 1)
        else:
            active = rng.integers(1, self.count + 1)
            labels[rng.permutation(self.count)[:active]] = rng.permutation(len(CLASSES))[:active]
        if number in self.alone:
            labels[1:] = -1
        return labels

    def __getitem__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, number))
        labels = self.draw_labels(number, rng)
        sources = np.zeros((self.count, self.channels, PICTURES * 640), np.float32)
        for place, label in enumerate(labels):
            if label >= 0:
                sound = draw_sound(CLASSES[label], sources.shape[-1], rng)
                sources[place] = at_microphones(sound, place, self.channels, self.delay)
        mixture = sources.sum(0)
        if number == self.broken:
            mixture[0, 7] = np.nan
        item = {
            "mixture": torch.from_numpy(mixture),
            "sources": torch.from_numpy(sources),
            "labels": torch.from_numpy(labels),
            "name": f"item {number}",
        }
        return item | {cue: torch.from_numpy(CUES[cue](sources, rng)) for cue in self.cues}


def draw_lips(sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(2, pictures, 96, 96): the second source belongs to the darker face."""
    shade = np.array([1.0, 0.1], np.float32)[:, None, None, None]
    return shade * rng.random((2, PICTURES, 96, 96), dtype=np.float32)


def draw_enrolment(sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(sources, time): the first channel at another time, fainter."""
    return np.roll(0.5 * sources[:, 0], 333, axis=1)


def give_sources(sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sources themselves, for models that know them in training."""
    return sources


def draw_face(sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(2, pictures, 512) of length 1."""
    vectors = rng.standard_normal((2, PICTURES, 512), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=2, keepdims=True)


def draw_delays(sources: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(sources, channels) in s, of sources 3 samples apart at neighbouring microphones (see `at_microphones`)."""
    way = (-1.0) ** np.arange(len(sources))
    return np.float32(3 / 16_000 * way[:, None] * np.arange(sources.shape[1]))


CUES = {
    "lips": draw_lips,
    "face": draw_face,
    "enrolment": draw_enrolment,
    "delays": draw_delays,
    "sources": give_sources,
}
"""From the sources (sources, channels, time) of an item."""


class Stopped(Exception):
    """What ends a training in the middle, in place of a power cut."""


class NoisyLoss(nn.Module):
    """A loss that draws random numbers, as dropout in a model would."""

    def forward(self, estimates: torch.Tensor, sources: torch.Tensor, mixture: torch.Tensor) -> torch.Tensor:
        noisy = estimates + 0.3 * torch.randn_like(estimates) * np.random.rand() * random.random()  # noqa: NPY002
        return PermutationInvariant()(noisy, sources, mixture)


class TinyData(lightning.LightningDataModule):
    def __init__(
        self,
        batch_size: int = 2,
        epoch_items: int = 12,
        workers: int = 0,
        sources: int = 2,
        channels: int = 1,
        delay: int = 3,
        alike: bool = False,
        cues: tuple[str, ...] = (),
        broken: int | None = None,
        alone: tuple[int, ...] = (),
        seed: int = 0,
        record: str | None = None,
        stop_at: int | None = None,
        kill_at: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.epoch_items, self.workers = batch_size, epoch_items, workers
        self.train_set = Items(seed, 0, sources, channels, delay, alike, cues, broken)
        self.dev_set = Items(seed + 1, 4, sources, channels, delay, alike, cues, None, alone)
        self.record, self.stop_at, self.kill_at = record, stop_at, kill_at

    def train_dataloader(self) -> DataLoader:
        return training_loader(self.train_set, self.batch_size, self.epoch_items, self.workers, self.trainer)

    def val_dataloader(self) -> DataLoader:
        return validation_loader(self.dev_set, 2, 0, self.trainer)

    def on_before_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        if not self.trainer.training:
            return batch
        if self.trainer.global_step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.trainer.global_step == self.stop_at:
            raise Stopped
        if self.record:
            with open(self.record, "a") as file:
                file.write(f"{self.trainer.global_step} {self.trainer.global_rank} {' '.join(batch['name'])}\n")
        return batch


class TalkingItems(Dataset):
    """Lips whose shade follows the loudness of their voice; `broken` is the number of an item with a NaN."""

    def __init__(self, seed: int, items: int, broken: int | None) -> None:
        self.seed, self.items, self.broken = seed, items, broken

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((self.seed, number))
        loudness = rng.random(2 * TALKING_PICTURES).astype(np.float32)
        voice = np.repeat(loudness, 640) * rng.standard_normal(2 * TALKING_PICTURES * 640, dtype=np.float32)
        audio, shifted = np.split(voice, 2)
        if number == self.broken:
            audio[7] = np.nan
        lips = loudness[:TALKING_PICTURES, None, None] * np.ones((1, 96, 96), np.float32)
        return {"lips": torch.from_numpy(lips), "audio": torch.from_numpy(audio), "shifted": torch.from_numpy(shifted)}


class TinyTalking(lightning.LightningDataModule):
    def __init__(self, broken: int | None = None) -> None:
        super().__init__()
        self.train_set, self.dev_set = TalkingItems(0, 0, broken), TalkingItems(1, 8, None)

    def batches(self) -> DataLoader:
        return training_loader(self.train_set, 4, 24, 0, None)

    def train_dataloader(self) -> DataLoader:
        return training_loader(self.train_set, 4, 24, 0, self.trainer)

    def val_dataloader(self) -> DataLoader:
        return validation_loader(self.dev_set, 4, 0, self.trainer)


def write_config(folder: Path, **changes: Any) -> Path:
    """A configuration of a tiny audio-only training; changes are dotted keys with double underscores."""
    config: dict[str, Any] = {
        "seed_everything": 0,
        "model": {
            "class_path": "avsep.training.separation.SeparationTask",
            "init_args": {
                "learning_rate": 0.01,
                "model": {"class_path": "avsep.models.conv_tasnet.ConvTasNet", "init_args": dict(TINY)},
            },
        },
        "data": {"class_path": "tiny_training.TinyData", "init_args": {}},
        "trainer": {
            "max_epochs": 3,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "default_root_dir": str(folder / "run"),
            "enable_model_summary": False,
            "logger": False,
        },
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        node = config
        for name in path:
            node = node.setdefault(name, {})
        node[last] = copy.deepcopy(value)
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file
