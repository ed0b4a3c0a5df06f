"""Mixtures of utterances, made on the fly: the same seed and item give the same mixture on any number of workers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from scipy import fft
from torch.utils.data import DataLoader, Dataset

from avsep.errors import InputError
from avsep.signals import SAMPLE_RATE


class PackedSpeech:
    """One split of a packed corpus (see preprocessing/pack_audio.py), memory-mapped.

    `speakers` maps a name to its (start, length) pairs in samples.
    """

    def __init__(self, folder: Path | str, split: str) -> None:
        array, table = Path(folder) / f"{split}.npy", Path(folder) / f"{split}.tsv"
        if not array.is_file() or not table.is_file():
            raise InputError(
                f"no packed corpus at {array}. Make it with: python -m preprocessing.pack_audio SPEECH {folder}"
            )
        self.samples = np.load(array, mmap_mode="r")
        self.speakers: dict[str, list[tuple[int, int]]] = {}
        with table.open() as f:
            for row in csv.DictReader(f, delimiter="\t"):
                self.speakers.setdefault(row["speaker"], []).append((int(row["start"]), int(row["length"])))
        self.names = sorted(self.speakers)

    def draw(self, rng: np.random.Generator, name: str, length: int) -> np.ndarray:
        """(length,) float32 of utterances of one speaker, end to end in random order from a random start."""
        pieces: list[np.ndarray] = []
        missing = length
        while missing > 0:
            start, size = self.speakers[name][rng.integers(len(self.speakers[name]))]
            offset = int(rng.integers(max(1, size - length))) if size > length else 0
            piece = self.samples[start + offset : start + min(size, offset + missing)].astype(np.float32) / 32768
            pieces.append(piece)
            missing -= len(piece)
        return np.concatenate(pieces)[:length]


def colour(x: np.ndarray, rng: np.random.Generator, rooms: float = 0.6) -> np.ndarray:
    """A random room (in a share `rooms` of cases), spectral tilt and band limit in one filtering, (time,) -> (time,).

    The room is exponentially decaying noise behind a direct path (T60 0.1 to 0.6 s).
    """
    size = fft.next_fast_len(2 * len(x), real=True)
    spectrum = fft.rfft(x, size)
    if rng.random() < rooms:
        t60 = rng.uniform(0.1, 0.6)
        time = np.arange(int(t60 * SAMPLE_RATE)) / SAMPLE_RATE
        tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / t60)
        tail *= 10 ** (-rng.uniform(0, 15) / 20) / np.linalg.norm(tail)
        tail[0] = 1.0
        spectrum *= fft.rfft(tail.astype(np.float32), size)
    frequency = np.linspace(0, 1, len(spectrum), dtype=np.float32)
    if rng.random() < 0.6:
        octaves = np.log2(np.maximum(frequency * SAMPLE_RATE / 2, 60) / 1000)
        bend = rng.uniform(-3, 3) * octaves + rng.uniform(-3, 3) * np.cos(octaves * rng.uniform(0.5, 2))
        spectrum *= (10 ** (bend / 20)).astype(np.float32)
    if rng.random() < 0.25:
        spectrum *= 1 / (1 + (frequency / rng.uniform(0.4, 0.9)) ** 24)
    return fft.irfft(spectrum, size)[: len(x)].astype(np.float32, copy=False)


def change_speed(x: np.ndarray, factor: float) -> np.ndarray:
    """Play `factor` times faster (pitch and tempo together), by linear interpolation."""
    positions = np.arange(0, len(x) - 1, factor)
    return np.interp(positions, np.arange(len(x)), x).astype(np.float32)


def scale_to(x: np.ndarray, level_db: float) -> np.ndarray:
    """Scale to a root mean square of `level_db` below full scale."""
    return x * np.float32(10 ** (level_db / 20) / (np.sqrt(np.mean(x**2)) + 1e-6))


class Mixtures(Dataset):
    """Item i of epoch e is drawn from (seed, e, i): dict of mixture (time,) and sources (sources, time).

    level_db: speakers differ by up to this. alone: share of items with one speaker only (the other sources are zeros).
    partial: share in which the second speaker is silent for part of the time. noise_share: share with a sound of
    `noise` at 0 to 25 dB below the speech. augment=False gives plain mixtures, for validation.
    """

    def __init__(
        self,
        speech: PackedSpeech,
        noise: PackedSpeech | None,
        items: int,
        seconds: float,
        sources: int = 2,
        level_db: float = 5.0,
        alone: float = 0.1,
        partial: float = 0.25,
        noise_share: float = 0.35,
        rooms: float = 0.6,
        augment: bool = True,
        seed: int = 0,
    ) -> None:
        self.speech, self.noise = speech, noise
        self.items, self.length, self.sources = items, round(seconds * SAMPLE_RATE), sources
        self.level_db, self.alone, self.partial, self.noise_share = level_db, alone, partial, noise_share
        self.rooms, self.augment, self.seed, self.epoch = rooms, augment, seed, 0

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        names = rng.choice(self.speech.names, self.sources, replace=False)
        base = rng.uniform(-35, -18)
        sources = np.stack([self._voice(rng, name, base) for name in names])
        if self.augment:
            fate = rng.random()
            if fate < self.alone:
                sources[1:] = 0
            elif fate < self.alone + self.partial:
                edges = np.sort(rng.integers(0, self.length, 2))
                if rng.random() < 0.5:
                    sources[1, edges[0] : edges[1]] = 0
                else:
                    sources[1, : edges[0]] = 0
                    sources[1, edges[1] :] = 0
        mixture = sources.sum(0)
        if self.augment and self.noise is not None and rng.random() < self.noise_share:
            sound = self.noise.draw(rng, self.noise.names[rng.integers(len(self.noise.names))], self.length)
            mixture = mixture + scale_to(sound, base - rng.uniform(0, 25))
        return {"mixture": torch.from_numpy(mixture), "sources": torch.from_numpy(sources)}

    def _voice(self, rng: np.random.Generator, name: str, base: float) -> np.ndarray:
        factor = rng.uniform(0.9, 1.1) if self.augment else 1.0
        voice = self.speech.draw(rng, name, round(self.length * factor) + 2)
        if self.augment:
            voice = colour(change_speed(voice, factor), rng, self.rooms)
        return scale_to(voice[: self.length], base + rng.uniform(-self.level_db, self.level_db) / 2)


class SpeechMixtures(lightning.LightningDataModule):
    """Training and validation mixtures from a packed speech corpus and, optionally, packed sounds as noise."""

    def __init__(
        self,
        speech: str,
        noise: str | None = None,
        seconds: float = 4.0,
        batch_size: int = 8,
        epoch_items: int = 20_000,
        validation_items: int = 100,
        workers: int = 2,
        sources: int = 2,
        alone: float = 0.1,
        partial: float = 0.25,
        noise_share: float = 0.35,
        rooms: float = 0.6,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.options: Any = self.hparams

    def setup(self, stage: str) -> None:
        o = self.options
        noise = PackedSpeech(o.noise, "train") if o.noise else None
        train, dev = PackedSpeech(o.speech, "train"), PackedSpeech(o.speech, "dev")
        self.train_set = Mixtures(
            train,
            noise,
            o.epoch_items,
            o.seconds,
            o.sources,
            alone=o.alone,
            partial=o.partial,
            noise_share=o.noise_share,
            rooms=o.rooms,
            seed=o.seed,
        )
        self.dev_set = Mixtures(dev, None, o.validation_items, o.seconds, o.sources, augment=False, seed=1234)

    def train_dataloader(self) -> DataLoader:
        # Called anew every epoch (reload_dataloaders_every_n_epochs=1), so that workers see the epoch.
        self.train_set.epoch = self.trainer.current_epoch if self.trainer else 0
        return DataLoader(self.train_set, self.options.batch_size, num_workers=self.options.workers, drop_last=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.dev_set, self.options.batch_size)
