"""Windows of talking faces for lip-voice synchrony, from the files of preprocessing/extract_lips.py."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avsep.data.mixtures import PackedSpeech, colour, scale_to
from avsep.errors import InputError
from avsep.signals import HOP


class TalkingFaces:
    """All clips of a folder in memory. `clips`: list of (group, lips (pictures, 96, 96) uint8, audio (time,) float32
    starting with the first picture); group is the clip's folder, which stands for the speaker, or its own name."""

    def __init__(self, folder: Path | str) -> None:
        manifest = Path(folder) / "manifest.tsv"
        if not manifest.is_file():
            raise InputError(f"no {manifest}. Make it with: python -m preprocessing.extract_lips VIDEOS {folder}")
        self.clips: list[tuple[str, np.ndarray, np.ndarray]] = []
        with manifest.open() as f:
            for row in csv.DictReader(f, delimiter="\t"):
                with np.load(Path(folder) / row["lips"]) as data:
                    first, lips = int(data["first"]), data["lips"]
                    audio = data["audio"][max(0, first) * HOP :].astype(np.float32) / 32768
                pictures = min(len(lips), -(-len(audio) // HOP))
                audio = np.pad(audio, (0, max(0, pictures * HOP - len(audio))))
                path = Path(row["lips"])
                group = path.parent.name or path.stem
                self.clips.append((group, lips[:pictures], audio[: pictures * HOP]))


def warp_lips(lips: Tensor, rng: np.random.Generator) -> Tensor:
    """Flip, turn, scale, shift and drift, gamma, light, blur, noise and a cut-out: (pictures, h, w) in 0..1 -> the
    same."""
    pictures, height, width = lips.shape
    angle = np.deg2rad(rng.uniform(-10, 10))
    scale = rng.uniform(0.75, 1.1)
    shift = rng.uniform(-0.14, 0.14, 2)
    drift = rng.uniform(-0.06, 0.06, 2)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    ramp = np.linspace(-0.5, 0.5, pictures)
    theta = np.zeros((pictures, 2, 3), np.float32)
    theta[:, 0, :2] = flip * scale * np.cos(angle), -scale * np.sin(angle)
    theta[:, 1, :2] = flip * scale * np.sin(angle), scale * np.cos(angle)
    theta[:, :, 2] = shift + ramp[:, None] * drift
    grid = F.affine_grid(torch.from_numpy(theta), [pictures, 1, height, width], align_corners=False)
    out = F.grid_sample(lips.unsqueeze(1), grid, padding_mode="border", align_corners=False).squeeze(1)
    out = out.clamp(1e-3, 1) ** rng.uniform(0.5, 1.9)
    slope = torch.linspace(-1, 1, width)[None, None] * rng.uniform(-0.15, 0.15)
    out = (out - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + slope + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.4:
        factor = rng.uniform(0.25, 0.8)
        small = F.interpolate(out.unsqueeze(1), scale_factor=factor, mode="area", recompute_scale_factor=True)
        out = F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False).squeeze(1)
    out = out + torch.from_numpy(rng.standard_normal(out.shape, dtype=np.float32)) * rng.uniform(0, 0.06)
    if rng.random() < 0.2:
        y, x = rng.integers(0, height - 16), rng.integers(0, width - 16)
        out[:, y : y + rng.integers(8, 32), x : x + rng.integers(8, 32)] = rng.random()
    return out.clamp(0, 1)


class TalkingWindows(Dataset):
    """Item i of epoch e: lips (pictures, 96, 96) in 0..1, audio of the same stretch, and the same clip's audio moved
    by 0.4 to 1 s (shifted), as a hard negative. Groups are drawn evenly up to `largest`, the share of the biggest
    one."""

    def __init__(
        self,
        faces: TalkingFaces,
        groups: list[str],
        interference: PackedSpeech | None,
        items: int,
        pictures: int = 50,
        largest: float = 0.5,
        augment: bool = True,
        seed: int = 0,
    ) -> None:
        self.items, self.pictures, self.augment, self.seed, self.epoch = items, pictures, augment, seed, 0
        self.interference = interference
        self.by_group = {g: [c for c in faces.clips if c[0] == g and len(c[1]) > pictures + 12] for g in groups}
        self.by_group = {g: clips for g, clips in self.by_group.items() if clips}
        if not self.by_group:
            raise InputError(f"no clip of more than {pictures + 12} pictures among groups {groups}.")
        sizes = np.array([len(c) for c in self.by_group.values()], float)
        weights = np.sqrt(sizes)
        top = weights.argmax()
        if len(weights) > 1:
            weights[top] = min(weights[top], largest / (1 - largest) * (weights.sum() - weights[top]))
        self.names, self.weights = list(self.by_group), weights / weights.sum()

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        clips = self.by_group[self.names[rng.choice(len(self.names), p=self.weights)]]
        _, lips, audio = clips[rng.integers(len(clips))]
        last = len(lips) - self.pictures
        start = int(rng.integers(last + 1))
        away = [s for s in range(last + 1) if 10 <= abs(s - start) <= 25]
        other = int(rng.choice(away)) if away else (start + 12) % (last + 1)
        whole = self._sound(audio, rng)
        cut = [whole[s * HOP : (s + self.pictures) * HOP] for s in (start, other)]
        picture = torch.from_numpy(lips[start : start + self.pictures]).float() / 255
        if self.augment:
            picture = warp_lips(picture, rng)
        return {"lips": picture, "audio": torch.from_numpy(cut[0]), "shifted": torch.from_numpy(cut[1])}

    def _sound(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.augment:
            return audio
        x = scale_to(colour(audio, rng), rng.uniform(-35, -15))
        if self.interference is not None and rng.random() < 0.5:
            # What a separator leaves of the other voice.
            name = self.interference.names[rng.integers(len(self.interference.names))]
            level = 20 * np.log10(np.sqrt(np.mean(x**2)) + 1e-6)
            x = x + scale_to(self.interference.draw(rng, name, len(x)), level - rng.uniform(3, 25))
        return x + rng.standard_normal(len(x), dtype=np.float32) * np.float32(
            np.sqrt(np.mean(x**2)) * 10 ** (-rng.uniform(5, 40) / 20)
        )


class TalkingData(lightning.LightningDataModule):
    """Windows for training and, from the groups held out, for validation."""

    def __init__(
        self,
        faces: str,
        speech: str | None = None,
        held_out: list[str] | None = None,
        batch_size: int = 24,
        epoch_items: int = 2400,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.options: Any = self.hparams

    def setup(self, stage: str) -> None:
        o = self.options
        faces = TalkingFaces(o.faces)
        held = set(o.held_out or [])
        groups = sorted({c[0] for c in faces.clips})
        speech = PackedSpeech(o.speech, "train") if o.speech else None
        self.train_set = TalkingWindows(faces, [g for g in groups if g not in held], speech, o.epoch_items, seed=o.seed)
        self.dev_set = (
            TalkingWindows(faces, sorted(held), None, 8 * o.batch_size, augment=False, seed=99) if held else None
        )

    def train_dataloader(self) -> DataLoader:
        self.train_set.epoch = self.trainer.current_epoch if self.trainer else 0
        return DataLoader(self.train_set, self.options.batch_size, num_workers=self.options.workers, drop_last=True)

    def val_dataloader(self) -> DataLoader | list:
        return DataLoader(self.dev_set, self.options.batch_size) if self.dev_set else []
