"""The stems of songs: the cast of music separation, with a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avsep.data.casts.base import Cast, Needs, Source
from avsep.data.corpus import Clip, Corpus, Entry, SourcePool
from avsep.data.item import NO_LABEL
from avsep.data.ranges import check
from avsep.errors import InputError, UsageError

Song = dict[str, Entry]
"""Stem -> its recording."""


@dataclass(eq=False)
class Stem(Source):
    """One stem from `place` on: 0 for the earliest start, 1 for the latest of a song of so many seconds. swapped: with
    its channels in reverse order."""

    corpus: Corpus
    entry: Entry | None
    place: float
    seconds: float
    label: int = NO_LABEL
    swapped: bool = False

    def __post_init__(self) -> None:
        self.present = self.entry is not None

    def read(self, rng: np.random.Generator, length: int, faces: bool = False) -> Clip:
        assert self.entry is not None, "a stem that is not there is not read"
        spare = int(self.seconds * self.corpus.sample_rate) - length
        sound = self.corpus.sound(self.entry, int(self.place * (spare + 1)) if spare > 0 else 0, length)
        return Clip(np.ascontiguousarray(sound[::-1]) if self.swapped else sound)


@dataclass
class Stems(Cast):
    """The stems of one song at one time, in the order of `stems`; a song that lacks one is silent there.

    songs: manifest.tsv with a row for each stem, its name in the place of the speaker, its id SONG/STEM
    (preprocessing.musdb18 writes such). stems: their names, in the order of the sources; rows of others are left out.
    split: "train", "dev" or "test". p_remix: probability that an item takes each stem from a song of its own, at a time
    of its own. p_swap: probability that left and right of a stem are exchanged (Uhlich et al., Improving music source
    separation based on deep neural networks through data augmentation and network blending, 2017). channels: of the
    recordings that are kept; 1 for their mean. Labels number `stems`.
    """

    songs: str
    stems: list[str]
    split: str = "train"
    p_remix: float = 0.0
    channels: int = 2
    p_swap: float = 0.0

    _corpus: Corpus | None = field(default=None, init=False, repr=False)
    _songs: list[Song] = field(default_factory=list, init=False, repr=False)

    together = True

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "p_remix", "p_swap")
        check(self, (1, 100), "channels")
        if not self.stems or len(set(self.stems)) < len(self.stems):
            raise UsageError(f"Stems: stems is {self.stems}; give one or more different names")

    @property
    def places(self) -> int:
        return len(self.stems)

    @property
    def names(self) -> list[str]:
        return list(self.stems)

    def prepare(self, needs: Needs, pool: SourcePool | None = None) -> None:
        if pool is not None:
            raise UsageError("Stems cannot draw from shards; use the cast Speakers or SoundEvents there")
        if self._corpus is not None and self._corpus.sample_rate == needs.sample_rate:
            return
        self._corpus = Corpus(self.songs, self.split, sample_rate=needs.sample_rate, channels=self.channels)
        self._songs = self._grouped(self._corpus)

    def _grouped(self, corpus: Corpus) -> list[Song]:
        missing = [stem for stem in self.stems if stem not in corpus.names]
        if missing:
            raise InputError(
                f"{self.songs}: no stem {', '.join(missing)} in split {self.split!r}; it has {', '.join(corpus.names)}"
            )
        songs: dict[str, Song] = {}
        for stem in self.stems:
            for entry in corpus.entries[stem]:
                song, slash, _ = entry.id.rpartition("/")
                if not slash:
                    raise InputError(f"{entry.row}: id is {entry.id!r}, which names no song; it must be SONG/STEM")
                if stem in songs.setdefault(song, {}):
                    raise InputError(f"{entry.row}: a second {stem} of song {song}; a song has one of each")
                songs[song][stem] = entry
        return [songs[name] for name in sorted(songs)]

    def draw(self, rng: np.random.Generator) -> Sequence[Source]:
        assert self._corpus is not None, "a cast draws only after `prepare`"
        remixed = bool(rng.random() < self.p_remix)
        song, place, sources = self._draw_song(rng), rng.random(), []
        for label, stem in enumerate(self.stems):
            if remixed:
                song, place = self._draw_song(rng), rng.random()
            seconds = min(entry.seconds for entry in song.values())
            swapped = self.p_swap > 0 and bool(rng.random() < self.p_swap)
            sources.append(Stem(self._corpus, song.get(stem), place, seconds, label, swapped))
        return sources

    def _draw_song(self, rng: np.random.Generator) -> Song:
        return self._songs[rng.integers(len(self._songs))]
