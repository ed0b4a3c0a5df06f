"""Where the sources of a mixture come from: the utterances of a corpus, by speaker, or its sounds, by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from scipy.signal import resample_poly

from avsep.data.item import NO_LABEL
from avsep.data.manifest import read_manifest
from avsep.data.sound import read_channels, read_face, read_lips
from avsep.embeddings.face import DIMENSIONS
from avsep.errors import InputError, UsageError
from avsep.signals import FRAME_RATE, LIP_SIZE, SAMPLE_RATE, pictures_in
from avsep.storage.tables import open_table


class Clip(NamedTuple):
    """A stretch of one source. sound: (channels, time) float32. lips: (pictures, 96, 96) uint8 of the same time, or
    None. span: first sample that sounds and the one behind the last, where that is not the whole of it. face:
    (pictures, 512) float32, embeddings of the face, or None."""

    sound: np.ndarray
    lips: np.ndarray | None = None
    span: tuple[int, int] | None = None
    face: np.ndarray | None = None


class Timed(Protocol):
    """Anything with a length."""

    @property
    def seconds(self) -> float: ...


Utterance = TypeVar("Utterance", bound=Timed)


class SourcePool(Generic[Utterance]):
    """What a mixture draws from: speakers or classes (`names`, in alphabetical order), and stretches of their
    utterances.

    chances: of each name to be drawn first, summing to 1; None where all have the same. origins: the number of the
    corpus that each name is from; None where there is one. channels: of the sound drawn. shows: what is read of faces,
    "lips", "face" or both.
    """

    entries: dict[str, list[Utterance]]
    names: list[str]
    chances: np.ndarray | None = None
    origins: np.ndarray | None = None
    sample_rate: int
    channels: int = 1
    shows: Sequence[str] = ("lips",)

    def label(self, name: str) -> int:
        """The number of a name; -1 for one that has none."""
        raise NotImplementedError

    def sound(self, entry: Utterance, offset: int, count: int) -> np.ndarray:
        """(channels, count) float32 from sample `offset` of an utterance."""
        raise NotImplementedError

    def lips(self, entry: Utterance, offset: int, pictures: int) -> np.ndarray:
        """(pictures, 96, 96) uint8 from the time of sample `offset` on."""
        raise NotImplementedError

    def face(self, entry: Utterance, offset: int, pictures: int) -> np.ndarray:
        """(pictures, 512) float32 from the time of sample `offset` on."""
        raise NotImplementedError

    def draw_names(self, rng: np.random.Generator, count: int, alike: bool = False) -> list[str]:
        """Different names; alike: all from the corpus of the first, where it has as many."""
        numbers = rng.choice(len(self.names), count, replace=False, p=self.chances)
        if alike and self.origins is not None:
            same = np.flatnonzero(self.origins == self.origins[numbers[0]])
            if len(same) >= count:
                others = same[same != numbers[0]]
                numbers[1:] = rng.choice(others, count - 1, replace=False)
        return [self.names[number] for number in numbers]

    def draw_entry(self, rng: np.random.Generator, name: str, without: Utterance | None = None) -> Utterance:
        """An utterance of one speaker, another one than `without`."""
        entries = self.entries[name]
        if without is not None:
            entries = [entry for entry in entries if entry is not without]
        return entries[rng.integers(len(entries))]

    def draw(
        self,
        rng: np.random.Generator,
        name: str,
        length: int,
        faces: bool = False,
        without: Utterance | None = None,
    ) -> Clip:
        """A random stretch of `length` samples of one speaker; utterances that are shorter follow each other in random
        order. With faces, lips or embeddings of the same time; all start on a picture of the grid. without: not of
        this one."""
        hop = self.sample_rate // FRAME_RATE if faces else 1
        pieces: list[np.ndarray] = []
        shown: dict[str, list[np.ndarray]] = {cue: [] for cue in self.shows if faces}
        missing = length
        while missing > 0:
            entry = self.draw_entry(rng, name, without)
            size = max(hop, self.samples(entry) // hop * hop)
            offset = hop * int(rng.integers((size - missing) // hop + 1)) if size > missing else 0
            count = min(missing, size - offset)
            pieces.append(self.sound(entry, offset, count))
            for cue, parts in shown.items():
                read = self.lips if cue == "lips" else self.face
                parts.append(read(entry, offset, pictures_in(count, self.sample_rate)))
            missing -= count
        lips, face = (np.concatenate(shown[cue]) if cue in shown else None for cue in ("lips", "face"))
        return Clip(np.concatenate(pieces, axis=-1), lips, face=face)

    def draw_event(self, rng: np.random.Generator, name: str, length: int, without: Utterance | None = None) -> Clip:
        """One recording of a class as `place` gives it."""
        return self.place(rng, self.draw_entry(rng, name, without), length)

    def place(self, rng: np.random.Generator, entry: Utterance, length: int) -> Clip:
        """One recording, silence before and after it: at a random place where it is shorter than `length` samples, a
        random stretch of it where it is longer."""
        size = max(1, self.samples(entry))
        if size >= length:
            return Clip(self.sound(entry, int(rng.integers(size - length + 1)), length))
        begin = int(rng.integers(length - size + 1))
        sound = np.zeros((self.channels, length), np.float32)
        sound[:, begin : begin + size] = self.sound(entry, 0, size)
        return Clip(sound, span=(begin, begin + size))

    def samples(self, entry: Utterance) -> int:
        """Length of an utterance."""
        return int(entry.seconds * self.sample_rate)


class Entry(NamedTuple):
    """One utterance. start: None for a sound file, the first sample for a packed array. row: where it is listed.
    id: its name there, "" where it has none."""

    file: Path
    start: int | None
    lip_file: Path | None
    seconds: float
    row: str
    id: str = ""


class Corpus(SourcePool[Entry]):
    """The utterances of one split, read from their files or from a packed array.

    path: manifest.tsv of a module of preprocessing/ (or its folder), or the folder that preprocessing.pack_audio wrote
    (SPLIT.npy and SPLIT.tsv, which is quicker: no decoding); several of them are joined. split: "train", "dev" or
    "test"; speakers: only these. faces: only utterances with lips. sample_rate: of the sound that is drawn, in Hz.
    weights: how often each of several corpora is drawn from, relative to each other; its speakers all the same within
    it. By default all speakers are drawn the same. channels: 1 for the mean of those of a file; packed arrays have no
    more. least: only speakers with so many utterances. shows: see `SourcePool`.

    Raises InputError that names the manifest (and its row) for files that are gone and for an empty split, UsageError
    for weights that do not fit the corpora.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str],
        split: str = "train",
        speakers: Sequence[str] | None = None,
        faces: bool = False,
        sample_rate: int = SAMPLE_RATE,
        weights: Sequence[float] | None = None,
        channels: int = 1,
        least: int = 1,
        shows: Sequence[str] = ("lips",),
    ) -> None:
        self.sample_rate, self.channels, self.shows = sample_rate, channels, shows
        self.entries: dict[str, list[Entry]] = {}
        self._arrays: dict[Path, np.ndarray] = {}
        paths = [path] if isinstance(path, str | Path) else list(path)
        for number, one in enumerate(paths):
            # Two corpora may use one name for two people.
            prefix = f"{number}/" if len(paths) > 1 else ""
            found = _utterances(Path(one), split)
            for speaker, entry in found:
                if (speakers is None or speaker in speakers) and not (faces and entry.lip_file is None):
                    self.entries.setdefault(prefix + speaker, []).append(entry)
        self.names = sorted(name for name, entries in self.entries.items() if len(entries) >= least)
        where = ", ".join(map(str, paths))
        if not self.names:
            what = "utterances with lips" if faces else "utterances"
            whose = "" if speakers is None else f" of the speakers {', '.join(speakers)}"
            few = f"; no speaker has {least} utterances" if self.entries else ""
            raise InputError(f"{where}: no {what}{whose} in split {split!r}{few}")
        if channels > 1 and any(entry.start is not None for entries in self.entries.values() for entry in entries):
            raise InputError(f"{where}: packed sound has 1 channel, but channels is {channels}. Give the manifest")
        self._number()
        self.origins = np.array([int(name.split("/")[0]) if len(paths) > 1 else 0 for name in self.names])
        if weights is not None:
            self.chances = self._chances(paths, weights)

    def add_class(self, name: str, others: Corpus) -> None:
        """One name more, for all that another corpus has. Raises UsageError where the name is there already."""
        if name in self.entries:
            raise UsageError(f"the class {name!r} is there already; call what is added otherwise")
        self.entries[name] = [entry for entries in others.entries.values() for entry in entries]
        self.names = sorted([*self.names, name])
        self.chances = self.origins = None
        self._number()

    def _number(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def _chances(self, paths: Sequence[str | Path], weights: Sequence[float]) -> np.ndarray:
        assert self.origins is not None
        if len(weights) != len(paths) or min(weights) <= 0:
            raise UsageError(
                f"weights is {list(weights)}; it must be one number above 0 for each of {len(paths)} corpora"
            )
        chances = np.array(weights, float)[self.origins] / np.bincount(self.origins)[self.origins]
        return chances / chances.sum()

    def label(self, name: str) -> int:
        return self._numbers.get(name, NO_LABEL)

    def sound(self, entry: Entry, offset: int, count: int) -> np.ndarray:
        if entry.start is not None:
            return self._unpack(entry.file, entry.start, offset, count)[None]
        try:
            start = offset / self.sample_rate
            return read_channels(entry.file, start, count, self.sample_rate, self.channels, at_least=entry.seconds)
        except InputError as error:
            raise InputError(f"{entry.row}: {error}") from error

    def lips(self, entry: Entry, offset: int, pictures: int) -> np.ndarray:
        if entry.lip_file is None:
            return np.zeros((pictures, LIP_SIZE, LIP_SIZE), np.uint8)
        try:
            return read_lips(entry.lip_file, offset / self.sample_rate, pictures)
        except InputError as error:
            raise InputError(f"{entry.row}: {error}") from error

    def face(self, entry: Entry, offset: int, pictures: int) -> np.ndarray:
        if entry.lip_file is None:
            return np.zeros((pictures, DIMENSIONS), np.float32)
        try:
            return read_face(entry.lip_file, offset / self.sample_rate, pictures)
        except InputError as error:
            raise InputError(f"{entry.row}: {error}") from error

    def _unpack(self, file: Path, start: int, offset: int, count: int) -> np.ndarray:
        if file not in self._arrays:
            self._arrays[file] = np.load(file, mmap_mode="r")
        # Rounded up, so that a stretch of another rate has its last sample.
        first, more = start + offset * SAMPLE_RATE // self.sample_rate, -(-count * SAMPLE_RATE // self.sample_rate)
        samples = self._arrays[file][first : first + more].astype(np.float32) * np.float32(1 / 32768)
        if self.sample_rate == SAMPLE_RATE:
            return samples
        return resample_poly(samples, self.sample_rate, SAMPLE_RATE)[:count]

    def __getstate__(self) -> dict[str, Any]:
        # A worker maps the arrays again; they are not to travel to it.
        return {**self.__dict__, "_arrays": {}}


def _utterances(path: Path, split: str) -> Iterator[tuple[str, Entry]]:
    if not path.is_dir():
        return _listed(path, split)
    packed = (path / f"{split}.npy").is_file() or not (path / "manifest.tsv").is_file()
    return _packed(path, split) if packed else _listed(path / "manifest.tsv", split)


def _listed(path: Path, split: str) -> Iterator[tuple[str, Entry]]:
    for row in read_manifest(path, split):
        if row.seconds > 0:
            yield row.speaker, Entry(row.audio, None, row.lips, row.seconds, f"{path}, utterance {row.id}", row.id)


def _packed(folder: Path, split: str) -> Iterator[tuple[str, Entry]]:
    array, table = folder / f"{split}.npy", folder / f"{split}.tsv"
    if not array.is_file() or not table.is_file():
        raise InputError(
            f"{folder}: no packed split {split!r} in it ({array.name} and {table.name}). "
            f"Make it with: python -m preprocessing.pack_audio MANIFEST.tsv {folder}"
        )
    samples = len(np.load(array, mmap_mode="r"))
    with open_table(table) as listed:
        for row in listed.dicts():
            where = listed.where
            try:
                start, length, speaker = int(row["start"]), int(row["length"]), row["speaker"]
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{where}: needs speaker, start and length in samples, not {dict(row)}") from error
            if start < 0 or start + length > samples:
                raise InputError(f"{where}: ends at sample {start + length}, but {array} has {samples}")
            if length > 0:
                lips = folder / row["lips"] if row.get("lips") else None
                yield speaker, Entry(array, start, lips, length / SAMPLE_RATE, where, row.get("id") or "")
