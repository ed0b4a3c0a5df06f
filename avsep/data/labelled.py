"""Sounds with their labels, to train and test a classifier: a batch of them is what `ClassificationTask` takes.

An item is a dict:

    waveform  (time,) float32
    clean     (time,) float32: the same before noise was added, from which one tells where the sound is silent
    labels    text: the names of its classes, joined by ";"; empty where it has none
    name      text
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from avsep.data.corpus import Corpus, Entry
from avsep.data.filters import Filter, Speed
from avsep.data.levels import scale_to
from avsep.data.ranges import Range, check
from avsep.data.rooms import Rooms, apply_room
from avsep.errors import InputError, UsageError
from avsep.signals import SAMPLE_RATE

BETWEEN = ";"
"""Stands between the labels of a sound that has several."""
SOUNDING = 1e-5
"""Power against the loudest sample's from which on a sample counts for the level: 50 dB below."""
DRAWS = 4
"""How often a stretch is drawn until one is not silent."""


@dataclass(frozen=True)
class LabelledCorpus:
    """Recordings and what they are.

    sounds: manifest.tsv of a module of preprocessing/ (or its folder), or a folder of preprocessing.pack_audio, with
    the class in the place of the speaker; the names of several classes are joined by ";". label: what all of them are,
    where they are listed by something else (speech, by speaker).
    """

    sounds: str
    label: str | None = None

    def entries(self, split: str, sample_rate: int) -> tuple[Corpus, list[tuple[str, Entry]]]:
        """The opened corpus, and its recordings with their labels, in the order of the classes."""
        corpus = Corpus(self.sounds, split, sample_rate=sample_rate)
        return corpus, [(self.label or name, entry) for name in corpus.names for entry in corpus.entries[name]]


class LabelledSounds(Dataset):
    """Item n, drawn from (seed, n): a class, all of them equally often, one of its recordings and a stretch of it,
    changed by what the options say; what is left out does not happen.

    seconds: of an item; silence is around a recording that is shorter. p_silence: probability of an item without a
    recording. loudness_db: level (root mean square of what
    sounds, against full scale). p_noise: probability of white noise, tinted by `filters`, `noise_below_db` under the
    sound.
    """

    def __init__(
        self,
        corpora: list[LabelledCorpus],
        seconds: float = 3.0,
        speed: Speed | None = None,
        filters: list[Filter] | None = None,
        room: Rooms | None = None,
        loudness_db: Range = (-40.0, -15.0),
        p_noise: float = 0.5,
        noise_below_db: Range = (20.0, 60.0),
        p_silence: float = 0.0,
        split: str = "train",
        sample_rate: int = SAMPLE_RATE,
        items: int = 1000,
        seed: int = 0,
    ) -> None:
        self.length, self.items, self.seed, self.sample_rate = round(seconds * sample_rate), items, seed, sample_rate
        self.speed, self.filters, self.room = speed, tuple(filters or ()), room
        self.loudness_db, self.noise_below_db = loudness_db, noise_below_db
        self.p_noise, self.p_silence = p_noise, p_silence
        check(self, (0.0, 1.0), "p_noise", "p_silence")
        if self.length < 1:
            raise UsageError(f"LabelledSounds: seconds is {seconds}; it must be above 0")
        if room is not None:
            room.prepare(1, sample_rate)
        self._classes: dict[str, list[tuple[Corpus, str, Entry]]] = {}
        for one in corpora:
            corpus, entries = one.entries(split, sample_rate)
            for labels, entry in entries:
                for name in labels.split(BETWEEN):
                    self._classes.setdefault(name, []).append((corpus, labels, entry))
        if not self._classes:
            raise UsageError("LabelledSounds: corpora is empty; give at least one")
        self.names = sorted(self._classes)

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        rng = np.random.default_rng((self.seed, index))
        level = rng.uniform(*self.loudness_db)
        if rng.random() < self.p_silence:
            labels, clean = "", np.zeros(self.length, np.float32)
        else:
            choice = self._classes[self.names[rng.integers(len(self.names))]]
            corpus, labels, entry = choice[rng.integers(len(choice))]
            clean = self._changed(self._stretch(corpus, entry, rng), rng)
            clean = clean * scale_to(clean, level, sounding_samples(clean))
        noisy = clean
        if rng.random() < self.p_noise:
            noise = rng.standard_normal((1, self.length), dtype=np.float32)
            noise = apply_room(noise, self.filters, None, rng, self.sample_rate)[0][0]
            noisy = clean + noise * scale_to(noise, level - rng.uniform(*self.noise_below_db), self.length)
        return _item(noisy, clean, labels, str(index))

    def _stretch(self, corpus: Corpus, entry: Entry, rng: np.random.Generator) -> np.ndarray:
        """(time,), before or behind which is what the speed needs."""
        factor = 1.0 if self.speed is None else self.speed.draw(rng)
        length = self.length if self.speed is None else Speed.needed(self.length, factor)
        for _ in range(DRAWS):
            sound = corpus.place(rng, entry, length).sound[0]
            if sound.any():
                break
        return sound if self.speed is None else Speed.sound(sound, factor, self.length)

    def _changed(self, sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        response = None if self.room is None else self.room.draw(rng, 1, self.sample_rate)
        taps = None if response is None else response.taps[0]
        return apply_room(sound[None], self.filters, taps, rng, self.sample_rate)[0][0]


class LabelledClips(Dataset):
    """The recordings of a split in their order, as they are: the first `seconds` of each, silence behind one that is
    shorter. most: of each label, the first so many."""

    def __init__(
        self,
        corpora: list[LabelledCorpus],
        seconds: float = 5.0,
        split: str = "dev",
        most: int | None = None,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        self.length = round(seconds * sample_rate)
        self._clips: list[tuple[Corpus, str, Entry]] = []
        for one in corpora:
            corpus, entries = one.entries(split, sample_rate)
            counts: dict[str, int] = {}
            for labels, entry in entries:
                counts[labels] = counts.get(labels, 0) + 1
                if most is None or counts[labels] <= most:
                    self._clips.append((corpus, labels, entry))
        if not self._clips:
            raise InputError("LabelledClips: no recordings; corpora is empty, or most is below 1")

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        corpus, labels, entry = self._clips[index]
        sound = np.zeros(self.length, np.float32)
        count = min(self.length, corpus.samples(entry))
        sound[:count] = corpus.sound(entry, 0, count)[0]
        return _item(sound, sound, labels, entry.id or str(index))


def sounding_samples(x: np.ndarray) -> int:
    """How many samples of (time,) are within 50 dB of the loudest; all of silence."""
    power = np.square(x)
    return int(np.count_nonzero(power >= SOUNDING * power.max()))


def _item(waveform: np.ndarray, clean: np.ndarray, labels: str, name: str) -> dict[str, Tensor | str]:
    sounds: Sequence[Tensor] = [torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (waveform, clean)]
    return {"waveform": sounds[0], "clean": sounds[1], "labels": labels, "name": name}
