"""A small data module and configurations for the tests of the training loop; items are a function of their number."""

from __future__ import annotations

import os
import random
import signal
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
PICTURES = 3


class Items(Dataset):
    """Two noises of different colour; `broken` is the number of an item with a NaN."""

    def __init__(self, seed: int, items: int, channels: int, lips: bool, broken: int | None) -> None:
        self.seed, self.items, self.channels, self.lips, self.broken = seed, items, channels, lips, broken

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, number))
        noise = rng.standard_normal((2, PICTURES * 640)).astype(np.float32)
        sources = np.stack([np.cumsum(noise[0]) * 0.05, noise[1] * 0.3]).astype(np.float32)
        mixture = sources.sum(0)
        if number == self.broken:
            mixture[7] = np.nan
        if self.channels > 1:
            mixture = np.stack([mixture] * self.channels)
        item = {"mixture": torch.from_numpy(mixture), "sources": torch.from_numpy(sources), "name": f"item {number}"}
        if self.lips:
            # The second voice belongs to the darker face.
            shade = np.array([1.0, 0.1], np.float32)[:, None, None, None]
            item["lips"] = torch.from_numpy(shade * rng.random((2, PICTURES, 96, 96), dtype=np.float32))
        return item


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
        channels: int = 1,
        lips: bool = False,
        broken: int | None = None,
        seed: int = 0,
        record: str | None = None,
        stop_at: int | None = None,
        kill_at: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.epoch_items, self.workers = batch_size, epoch_items, workers
        self.train_set = Items(seed, 0, channels, lips, broken)
        self.dev_set = Items(seed + 1, 4, channels, lips, None)
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
        node[last] = value
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file
