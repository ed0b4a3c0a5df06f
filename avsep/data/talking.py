"""Windows of talking faces for lip-voice synchrony, from the files of preprocessing/extract_lips.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avsep.data.corpus import Corpus
from avsep.data.filters import BandLimit, Equaliser, Filter
from avsep.data.levels import scale_to
from avsep.data.lip_augment import Blur, Brightness, Flip, Grain, LipAugment, Occlusion, Warp, apply
from avsep.data.manifest import read_manifest
from avsep.data.order import training_loader, validation_loader
from avsep.data.rooms import DecayRooms, apply_room
from avsep.data.sound import read_talking
from avsep.errors import InputError, UsageError
from avsep.signals import HOP, SAMPLE_RATE


class TalkingFaces:
    """All clips of a corpus in memory. `clips`: list of (speaker, lips (pictures, 96, 96) uint8, audio (time,) float32
    starting with the first picture).

    manifest: manifest.tsv of a module of preprocessing/ that cuts out lips, or the folder it lies in. held_out:
    speakers for validation; of the others only the clips of split train are read.
    """

    def __init__(self, manifest: Path | str, held_out: Collection[str] = ()) -> None:
        path = Path(manifest)
        path = path / "manifest.tsv" if path.is_dir() else path
        self.clips: list[tuple[str, np.ndarray, np.ndarray]] = []
        for row in read_manifest(path):
            if row.lips is None or (row.split != "train" and row.speaker not in held_out):
                continue
            lips, audio = read_talking(row.lips)
            pictures = min(len(lips), -(-len(audio) // HOP))
            audio = np.pad(audio, (0, max(0, pictures * HOP - len(audio))))
            self.clips.append((row.speaker, lips[:pictures], audio[: pictures * HOP]))
        if not self.clips:
            raise InputError(
                f"{path}: no row has lips. Make some with: python -m preprocessing.extract_lips VIDEOS OUT"
            )


# Wider than a separator needs: lips and voice are to be told apart by their movement alone.
LIPS: tuple[LipAugment, ...] = (
    Flip(),
    Warp(degrees=10, scale=(0.75, 1.1), squeeze=(0.65, 1.1), shift=0.07, drift=0.03),
    Brightness(gamma=(0.5, 1.9), contrast=(0.6, 1.4)),
    Blur(p=0.5, factor=(0.15, 0.8)),
    Grain(p=1.0, deviation=(0.0, 0.06)),
    Occlusion(p=0.2, side=(0.08, 0.33), seconds=(2.0, 2.0)),
    # A hand before the whole mouth, for a while: the embedding is to become small then, not to jump.
    Occlusion(p=0.2, side=(0.5, 1.0), seconds=(0.2, 1.0)),
)
ROOMS = DecayRooms(p=0.6)
FILTERS: tuple[Filter, ...] = (Equaliser(p=0.6), BandLimit(p=0.25))


def read_faces(paths: str | Sequence[str], held_out: Collection[str]) -> list[TalkingFaces]:
    """One corpus, or several."""
    return [TalkingFaces(path, held_out) for path in ([paths] if isinstance(paths, str) else paths)]


class TalkingWindows(Dataset):
    """Item n, drawn from (seed, n): lips (pictures, 96, 96) in 0..1, audio of the same stretch, and the same clip's
    audio moved by 0.4 to 1 s (shifted), as a hard negative.

    corpora: the speakers of each, with their clips; weights: how often each is drawn from, relative to each other. A
    speaker is drawn by the root of its clips, the biggest one in no more than the share `largest` of its corpus.
    """

    def __init__(
        self,
        corpora: Sequence[TalkingFaces],
        interference: Corpus | None,
        items: int,
        speakers: Collection[str],
        weights: Sequence[float] | None = None,
        pictures: int = 50,
        largest: float = 0.5,
        augment: bool = True,
        seed: int = 0,
    ) -> None:
        self.items, self.pictures, self.augment, self.seed = items, pictures, augment, seed
        self.interference = interference
        self.groups: list[list[tuple[str, np.ndarray, np.ndarray]]] = []
        chances: list[np.ndarray] = []
        for faces, weight in zip(corpora, weights or [1.0] * len(corpora), strict=True):
            groups: dict[str, list] = {}
            for clip in faces.clips:
                if clip[0] in speakers and len(clip[1]) > pictures + 12:
                    groups.setdefault(clip[0], []).append(clip)
            if groups:
                chances.append(weight * _chances([len(clips) for clips in groups.values()], largest))
                self.groups += groups.values()
        if not self.groups:
            some = ", ".join(sorted(speakers)[:8]) or "no speaker"
            raise InputError(f"no clip of more than {pictures + 12} pictures of {some}")
        self.chances = np.concatenate(chances) / sum(part.sum() for part in chances)

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.seed, index))
        clips = self.groups[rng.choice(len(self.groups), p=self.chances)]
        _, lips, audio = clips[rng.integers(len(clips))]
        last = len(lips) - self.pictures
        start = int(rng.integers(last + 1))
        away = [s for s in range(last + 1) if 10 <= abs(s - start) <= 25]
        other = int(rng.choice(away)) if away else (start + 12) % (last + 1)
        whole = self._sound(audio, rng)
        cut = [whole[s * HOP : (s + self.pictures) * HOP] for s in (start, other)]
        seen = lips[start : start + self.pictures]
        if self.augment:
            seen = apply(LIPS, seen, rng)
        picture = torch.from_numpy(seen).float() / 255
        return {"lips": picture, "audio": torch.from_numpy(cut[0]), "shifted": torch.from_numpy(cut[1])}

    def _sound(self, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.augment:
            return audio
        response = ROOMS.draw(rng, 1, SAMPLE_RATE)
        x = apply_room(audio[None], FILTERS, None if response is None else response.taps[0], rng)[0][0]
        level = rng.uniform(-35, -15)
        x = x * scale_to(x, level, len(x))
        if self.interference is not None:
            # What a separator leaves of the other voices.
            for _ in range(rng.choice(3, p=(0.45, 0.4, 0.15))):
                name = self.interference.names[rng.integers(len(self.interference.names))]
                other = self.interference.draw(rng, name, len(x)).sound[0]
                x = x + other * scale_to(other, level - rng.uniform(2, 25), len(x))
        deviation = np.sqrt(np.mean(x**2)) * 10 ** (-rng.uniform(5, 40) / 20)
        return x + rng.standard_normal(len(x), dtype=np.float32) * np.float32(deviation)


def _chances(clips: Sequence[int], largest: float) -> np.ndarray:
    """By the root of the number of clips, summing to 1."""
    weights = np.sqrt(np.array(clips, float))
    top = weights.argmax()
    if len(weights) > 1:
        weights[top] = min(weights[top], largest / (1 - largest) * (weights.sum() - weights[top]))
    return weights / weights.sum()


class TalkingData(lightning.LightningDataModule):
    """Windows for training and, of the speakers held out, for validation.

    faces: manifest or folder of mouths, or several of them; weights: how often each is drawn from, relative to each
    other. Of all but the speakers held out, the clips of split train are used.
    """

    def __init__(
        self,
        faces: str | list[str],
        speech: str | None = None,
        held_out: list[str] | None = None,
        batch_size: int = 24,
        epoch_items: int = 2400,
        workers: int = 1,
        seed: int = 0,
        weights: list[float] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.options: Any = self.hparams

    def setup(self, stage: str) -> None:
        o = self.options
        held = set(o.held_out or [])
        corpora = read_faces(o.faces, held)
        if o.weights is not None and (len(o.weights) != len(corpora) or min(o.weights) <= 0):
            raise UsageError(
                f"weights is {o.weights}; it must be one number above 0 for each of {len(corpora)} corpora"
            )
        train = {clip[0] for faces in corpora for clip in faces.clips} - held
        speech = Corpus(o.speech, "train") if o.speech else None
        self.train_set = TalkingWindows(corpora, speech, o.epoch_items, train, o.weights, seed=o.seed)
        self.dev_set = TalkingWindows(corpora, None, 8 * o.batch_size, held, augment=False, seed=99) if held else None

    def train_dataloader(self) -> DataLoader:
        o = self.options
        return training_loader(self.train_set, o.batch_size, o.epoch_items, o.workers, self.trainer)

    def val_dataloader(self) -> DataLoader | list:
        if self.dev_set is None:
            return []
        return validation_loader(self.dev_set, self.options.batch_size, 0, self.trainer)
