"""Mixtures of utterances, made on the fly: item n is drawn from (seed, n) alone, so that the same seed gives the same
mixtures on any number of workers and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import fft
from torch import Tensor
from torch.utils.data import Dataset

from avsep.data.augment import Activity, Babble, Damage, Filter, Noise, Range, Speed, check
from avsep.data.corpus import Corpus, Voices
from avsep.data.lip_augment import Faces, LipAugment, apply
from avsep.data.rooms import Rooms
from avsep.data.sound import pictures_in
from avsep.errors import InputError, UsageError
from avsep.signals import FRAME_RATE, SAMPLE_RATE

Item = dict[str, Tensor | str]


@dataclass
class Recipe:
    """How a mixture is made. What is left out does not happen; the defaults give plain mixtures of two voices.

    seconds: length of an item. speakers: lowest and highest number of voices; an item has as many sources as the
    highest, zeros where there is none. loudness_db: level (root mean square against full scale) around which the
    voices of an item lie, level_db: how far they lie apart at most. speed, filters and room change the voices (the
    room as its `early_seconds` says), activity silences them, noise, babble and damage change the mixture alone.
    faces, lips: for models of lips: which faces are seen, and what happens to their pictures.
    """

    seconds: float = 4.0
    speakers: tuple[int, int] = (2, 2)
    loudness_db: Range = (-35.0, -18.0)
    level_db: float = 5.0
    speed: Speed | None = None
    filters: list[Filter] = field(default_factory=list)
    room: Rooms | None = None
    activity: Activity | None = None
    noise: Noise | None = None
    babble: Babble | None = None
    damage: list[Damage] = field(default_factory=list)
    faces: Faces | None = None
    lips: list[LipAugment] = field(default_factory=list)
    sample_rate: int = SAMPLE_RATE

    def __post_init__(self) -> None:
        check(self, (1, 100), "speakers")
        check(self, (0.0, 200.0), "level_db")
        check(self, (0.001, 3600.0), "seconds")
        if self.faces is not None and self.faces.shown > self.speakers[1]:
            raise UsageError(f"Recipe: {self.faces.shown} faces are shown, but there are {self.speakers[1]} speakers")
        self._noises: Corpus | None = None

    @property
    def length(self) -> int:
        """Samples of an item."""
        return round(self.seconds * self.sample_rate)

    def prepare(self) -> None:
        """Open the noises and make the rooms: once, before workers start."""
        if self.noise is not None and self._noises is None:
            self._noises = self.noise.corpus(self.sample_rate)
        if self.room is not None:
            self.room.prepare(self.speakers[1] + 1, self.sample_rate)

    def mix(self, voices: Voices, rng: np.random.Generator, name: str, unseen: Voices | None = None) -> Item:
        """One item: mixture (time,), or (channels, time) in a room with several microphones; sources (sources, time) at
        the first microphone; lips (faces, pictures, 96, 96) in 0..1, of the first sources, if faces are shown.

        unseen: where voices without a face come from, if not from `voices`.
        """
        self.prepare()
        slots, shown = self.speakers[1], self.faces.shown if self.faces else 0
        cast = _cast(voices, slots if unseen is None else shown, rng)
        if unseen is not None:
            cast += _cast(unseen, slots - shown, rng)
        loud = np.ones((slots, self.length), bool)
        loud[rng.integers(self.speakers[0], slots + 1) :] = False
        if self.activity is not None:
            self.activity(loud, rng)
        fates = rng.random(shown)
        for face in range(shown):
            if self.faces is not None and fates[face] < self.faces.silent:
                loud[face] = False
        response = None if self.room is None else self.room.draw(rng, slots + 1, self.sample_rate)
        base = rng.uniform(*self.loudness_db)
        channels = 1 if self.room is None else self.room.microphones
        mixture = np.zeros((channels, self.length), np.float32)
        sources = np.zeros((slots, self.length), np.float32)
        lips = []
        for slot in range(slots):
            heard = bool(loud[slot].any())
            if not heard and slot >= shown:
                continue
            sound, pictures = self._speak(*cast[slot], rng, slot < shown)
            level = base + rng.uniform(-self.level_db, self.level_db) / 2
            absent = self.faces is not None and slot < shown and fates[slot] >= 1 - self.faces.absent
            if heard:
                image, target = self._carry(sound * loud[slot], None if response is None else response[slot], rng)
                gain = scale_to(target, level, int(loud[slot].sum()))
                mixture += gain * image
                if not absent:
                    sources[slot] = gain * target
            if self.faces is not None and pictures is not None:
                instants = np.arange(len(pictures)) * self.sample_rate // FRAME_RATE
                lips.append(
                    np.zeros_like(pictures)
                    if absent
                    else apply(self.lips, self.faces.rest(pictures, loud[slot, instants], rng), rng)
                )
        if self.noise is not None and self._noises is not None and rng.random() < self.noise.share:
            mixture += self._noise(self.noise, self._noises, rng, response, base)
        if self.babble is not None and rng.random() < self.babble.share:
            mixture += self._babble(self.babble, voices if unseen is None else unseen, cast, rng, response, base)
        for change in self.damage:
            mixture = change(mixture if channels > 1 else mixture[0], rng, self.sample_rate).reshape(mixture.shape)
        item: Item = {
            "mixture": torch.from_numpy(mixture if channels > 1 else mixture[0]),
            "sources": torch.from_numpy(sources),
            "name": name,
        }
        if shown:
            item["lips"] = torch.from_numpy(np.stack(lips)).float().mul_(1 / 255)
        return item

    def _speak(
        self, voices: Voices, name: str, rng: np.random.Generator, faces: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """(length,) of one speaker and, with faces, its (pictures, 96, 96) uint8."""
        if self.speed is None:
            return voices.draw(rng, name, self.length, faces)
        factor = self.speed.draw(rng)
        clip = voices.draw(rng, name, Speed.needed(self.length, factor), faces)
        lips = None
        if clip.lips is not None:
            lips = Speed.lips(clip.lips, factor, pictures_in(self.length, self.sample_rate))
        return Speed.sound(clip.sound, factor, self.length), lips

    def _carry(
        self, x: np.ndarray, response: np.ndarray | None, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(time,) of a voice -> what the microphones hear (channels, time) and the target (time,)."""
        early = None if self.room is None else self.room.early_seconds
        if response is None or self.room is None or early is None:
            images = carry(x, self.filters, response, rng, self.sample_rate)[0]
            return images, images[0]
        kept = self.room.early(response[:1], self.sample_rate)
        images, target = carry(x, self.filters, response, rng, self.sample_rate, kept)
        return images, target[0]

    def _noise(
        self, noise: Noise, sounds: Corpus, rng: np.random.Generator, response: np.ndarray | None, base: float
    ) -> np.ndarray:
        """(channels, time) of a sound, which stands in the same room as the voices."""
        name = sounds.names[rng.integers(len(sounds.names))]
        sound = sounds.draw(rng, name, self.length).sound
        return self._behind(sound, rng, response, base - rng.uniform(*noise.below_db))

    def _babble(
        self,
        babble: Babble,
        voices: Voices,
        cast: Sequence[tuple[Voices, str]],
        rng: np.random.Generator,
        response: np.ndarray | None,
        base: float,
    ) -> np.ndarray:
        """(channels, time) of several voices that are not of the cast, each as loud as the others."""
        others = [name for name in voices.names if (voices, name) not in cast]
        count = min(len(others), int(rng.integers(babble.voices[0], babble.voices[1] + 1)))
        crowd = np.zeros(self.length, np.float32)
        for number in rng.choice(len(others), count, replace=False):
            sound = voices.draw(rng, others[number], self.length).sound
            crowd += sound * scale_to(sound, 0.0, self.length)
        return self._behind(crowd, rng, response, base - rng.uniform(*babble.below_db))

    def _behind(
        self, sound: np.ndarray, rng: np.random.Generator, response: np.ndarray | None, level_db: float
    ) -> np.ndarray:
        """(time,) -> (channels, time) at a level, from the last place of the room."""
        image = carry(sound, (), None if response is None else response[-1], rng, self.sample_rate)[0]
        return image * scale_to(image[0], level_db, self.length)


def _cast(voices: Voices, count: int, rng: np.random.Generator) -> list[tuple[Voices, str]]:
    """Different speakers, each with the corpus it is of."""
    numbers = rng.choice(len(voices.names), count, replace=False, p=voices.chances)
    return [(voices, voices.names[number]) for number in numbers]


def carry(
    x: np.ndarray,
    filters: Sequence[Filter],
    response: np.ndarray | None,
    rng: np.random.Generator,
    sample_rate: int = SAMPLE_RATE,
    *more: np.ndarray,
) -> list[np.ndarray]:
    """Through filters and then each response (channels, taps), as products of one spectrum: (time,) -> a list of
    (channels, time), one for each response; without any, of (1, time)."""
    responses = [] if response is None else [response, *more]
    if not responses and not filters:
        return [x[None]]
    taps = max((r.shape[-1] for r in responses), default=0)
    # Place for the echoes, so that the end does not come round to the start; filters ring for some milliseconds.
    size = fft.next_fast_len(len(x) + max(taps, 2048), real=True)
    spectrum = fft.rfft(x, size)
    frequency = np.linspace(0, sample_rate / 2, len(spectrum), dtype=np.float32)
    for one in filters:
        gains = one.gains(frequency, rng)
        if gains is not None:
            spectrum *= gains
    if not responses:
        return [fft.irfft(spectrum, size)[None, : len(x)]]
    return [fft.irfft(spectrum * fft.rfft(r, size), size)[:, : len(x)] for r in responses]


def scale_to(x: np.ndarray, level_db: float, count: int) -> np.float32:
    """The factor that gives (time,) a root mean square of `level_db`, taken over `count` samples."""
    power = float(np.dot(x, x)) / max(1, count)
    return np.float32(10 ** (level_db / 20) / (np.sqrt(power) + 1e-6))


class Mixtures(Dataset):
    """Mixtures of a corpus without end: item n, for any n from 0 on, is drawn from (seed, n).

    voices: manifest.tsv, packed folder, or several of them (see `Corpus`); split, speakers: the part of it that is
    drawn from. items: the length of the data set, where somebody asks for one (validation). shares: how often each of
    several is drawn from, as in `Corpus`. unseen: where the voices beyond the faces shown come from, of the same split
    (default: from `voices`, and then of people who have a face too).
    """

    def __init__(
        self,
        voices: str | list[str],
        recipe: Recipe,
        split: str = "train",
        speakers: list[str] | None = None,
        items: int = 1000,
        seed: int = 0,
        shares: list[float] | None = None,
        unseen: str | list[str] | None = None,
    ) -> None:
        self.recipe, self.items, self.seed = recipe, items, seed
        self.voices = Corpus(voices, split, speakers, recipe.faces is not None, recipe.sample_rate, shares)
        needed: list[tuple[Corpus, object, int]] = [(self.voices, voices, recipe.speakers[1])]
        self.unseen: Corpus | None = None
        if unseen is not None:
            if recipe.faces is None:
                raise UsageError(
                    f"unseen is {unseen!r}, but no faces are shown; give the recipe faces, or leave it out"
                )
            self.unseen = Corpus(unseen, split, sample_rate=recipe.sample_rate)
            shown = recipe.faces.shown
            needed = [(self.voices, voices, shown), (self.unseen, unseen, recipe.speakers[1] - shown)]
        for corpus, where, count in needed:
            if len(corpus.names) < count:
                raise InputError(
                    f"{where}: {len(corpus.names)} speakers in split {split!r}, but a mixture has up to {count}"
                )
        recipe.prepare()

    def __len__(self) -> int:
        return self.items

    def __getitem__(self, index: int) -> Item:
        return self.recipe.mix(self.voices, np.random.default_rng((self.seed, index)), str(index), self.unseen)
