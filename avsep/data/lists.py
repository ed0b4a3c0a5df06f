"""Fixed mixtures: lists that validation and tests read, the same on every machine and every day.

A list is a tab-separated table with one row for each part of a mixture: a voice that is to be found, or a noise that
is not. It holds no sound; `render` adds the parts up. Where a mixture was recorded, one row is the recording, and the
voices say where in it the sources are and how loud.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from avsep.data.item import Item, make_item
from avsep.data.manifest import MOST_SECONDS
from avsep.data.sound import read_channels, read_face, read_lips, read_repeated
from avsep.data.sound_file import sound_seconds
from avsep.dsp.alignment import MARGIN, later
from avsep.errors import InputError
from avsep.signals import FRAME_RATE, SAMPLE_RATE, pictures_in
from avsep.storage.files import name_in_text, path_from, write_lines
from avsep.storage.tables import number_in, open_table

COLUMNS = ("mixture", "seconds", "role", "speaker", "audio", "lips", "start_seconds", "gain")
OPTIONAL = ("enrolment",)
"""Columns that a list may have besides."""
MOST_LENGTH, MOST_GAIN = 86_400.0, 1e6
"""Seconds of a mixture, which is made in memory, and the largest factor of a part."""
ROLES = ("voice", "noise", "recording")


@dataclass(frozen=True)
class Part:
    """One sound of a mixture. role: "voice" (a source to be estimated), "noise", or "recording": the mixture itself, to
    which the voices are not added. start_seconds: place in `audio` that falls on the mixture's start; below zero, the
    sound begins that much later. gain: linear factor. enrolment: another utterance of the speaker, or None."""

    audio: Path
    lips: Path | None
    speaker: str
    role: str
    start_seconds: float
    gain: float
    enrolment: Path | None = None


@dataclass(frozen=True)
class MixtureSpec:
    """A mixture of `parts`, `seconds` long; parts that end earlier are silent from there on."""

    id: str
    seconds: float
    parts: tuple[Part, ...]

    @property
    def voices(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.role == "voice")

    @property
    def recording(self) -> Part | None:
        """Its own sound, where it was recorded and is not the sum of its parts."""
        return next((part for part in self.parts if part.role == "recording"), None)


def write_list(path: Path, specs: Iterable[MixtureSpec]) -> None:
    """Write a list, paths relative to its folder; whole or not at all."""
    specs = list(specs)
    enrolled = any(part.enrolment is not None for spec in specs for part in spec.parts)
    lines = ["\t".join(COLUMNS + OPTIONAL if enrolled else COLUMNS)]
    for spec in specs:
        for part in spec.parts:
            audio, lips, enrolment = (
                "" if p is None else path_from(path.parent, p) for p in (part.audio, part.lips, part.enrolment)
            )
            # repr of a float reads back as the same float: a list that is read and written does not drift.
            numbers = repr(float(part.start_seconds)), repr(float(part.gain))
            row = (spec.id, repr(float(spec.seconds)), part.role, part.speaker, audio, lips, *numbers)
            lines.append("\t".join((*row, enrolment) if enrolled else row))
    write_lines(path, lines)


def read_list(path: Path | str) -> list[MixtureSpec]:
    """The mixtures of a list in its order, paths made absolute.

    Raises InputError that names file, line and column for a missing list, column or sound file, a role or number that
    is none, rows of one mixture that disagree about its length, a mixture without a voice, and one that was recorded
    and has other parts than voices.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such list of mixtures. Make one with: python -m preprocessing.make_mixtures")
    lengths: dict[str, float] = {}
    parts: dict[str, list[Part]] = {}
    with open_table(path) as table:
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)}; a list of mixtures has {', '.join(COLUMNS)}")
        for row in table.dicts():
            where = table.where
            seconds, part = _part(path, where, row)
            if lengths.setdefault(row["mixture"], seconds) != seconds:
                raise InputError(
                    f"{where}: seconds is {seconds:g}, but {lengths[row['mixture']]:g} in an earlier row of "
                    f"{row['mixture']}; a mixture has one length"
                )
            parts.setdefault(row["mixture"], []).append(part)
    if not parts:
        raise InputError(f"{path}: the list has no rows")
    specs = [MixtureSpec(name, lengths[name], tuple(of)) for name, of in parts.items()]
    for spec in specs:
        if not spec.voices:
            raise InputError(f"{path}: mixture {spec.id} has no row with role voice; there is nothing to estimate")
        if spec.recording is not None and len(spec.parts) > len(spec.voices) + 1:
            raise InputError(
                f"{path}: mixture {spec.id} has a row with role recording and others that are no voices; a recording "
                "has its noise in it, and there is one for a mixture"
            )
    return specs


def _part(path: Path, where: str, row: dict[str, str]) -> tuple[float, Part]:
    if row["role"] not in ROLES:
        raise InputError(f"{where}: role is {row['role']!r}; it must be one of {', '.join(ROLES)}")
    bounds = {"seconds": (-MOST_LENGTH, MOST_LENGTH), "start_seconds": (-MOST_SECONDS, MOST_SECONDS)}
    bounds["gain"] = (-MOST_GAIN, MOST_GAIN)
    numbers = {column: number_in(row[column], where, column, *bounds[column]) for column in bounds}
    if numbers["seconds"] <= 0:
        raise InputError(f"{where}: seconds is {row['seconds']}; a mixture is longer than 0 s")
    if not row["audio"]:
        raise InputError(f"{where}: audio is empty; every part needs a sound file")
    names = ("audio", "lips", "enrolment")
    files = {name: path.parent / name_in_text(row[name]) if row.get(name) else None for name in names}
    for name, file in files.items():
        if file is not None and not os.path.isfile(file):
            raise InputError(f"{where}: {name} is {file}, which is not there. Make the corpus again, or remove the row")
    assert files["audio"] is not None
    start, gain = numbers["start_seconds"], numbers["gain"]
    part = Part(files["audio"], files["lips"], row["speaker"], row["role"], start, gain, files["enrolment"])
    return numbers["seconds"], part


def render(spec: MixtureSpec, sample_rate: int = SAMPLE_RATE, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The mixture (channels, time) and its sources (voices, channels, time), float32 at `sample_rate`, in the order of
    the parts. channels: 1 for the mean of those of a file. Voices of a recording begin where they should to a part of a
    sample, others at the nearest.

    Raises InputError for a part that cannot be read or starts behind its file's end.
    """
    length = round(spec.seconds * sample_rate)
    mixture = np.zeros((channels, length), np.float32)
    sources = []
    for part in spec.parts:
        try:
            read = _read_exactly if spec.recording is not None else read_channels
            sound = read(part.audio, part.start_seconds, length, sample_rate, channels) * np.float32(part.gain)
        except InputError as error:
            raise InputError(f"mixture {spec.id}: {error}") from error
        if not sound.any() and part.start_seconds >= (end := sound_seconds(part.audio)):
            raise InputError(
                f"mixture {spec.id}: start_seconds is {part.start_seconds:g}, but {part.audio} ends at {end:.3f} s"
            )
        if part.role == (spec.recording or part).role:
            mixture += sound
        if part.role == "voice":
            sources.append(sound)
    return mixture, np.stack(sources)


def _read_exactly(path: Path, start_seconds: float, length: int, sample_rate: int, channels: int) -> np.ndarray:
    """`read_channels` from a start that may lie between two samples."""
    start = start_seconds * sample_rate
    whole = math.ceil(start)
    sound = read_channels(path, (whole - MARGIN) / sample_rate, length + 2 * MARGIN, sample_rate, channels)
    return later(sound, whole - start)[:, MARGIN : MARGIN + length]


def shuffled(index: int, size: int, seed: int) -> int:
    """Which of `size` items comes at `index`, when each epoch has all, in an order drawn from (seed, epoch)."""
    return int(_order(size, seed, index // size)[index % size])


@functools.lru_cache(maxsize=4)
def _order(size: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(size)


class FixedMixtures(Dataset):
    """The mixtures of a list, as items of the loop; beyond the end of the list it begins again.

    mixtures: file of a list, or the mixtures themselves. seconds: cut or pad each to this length, so that they fit into
    one batch; None keeps each as it is. faces: add the cue lips, embeddings: the cue face; every voice then needs some.
    seed: to train on a list: its mixtures come in another order every epoch and are cut at random places; None for
    neither. channels: of the sound that is kept; 1 for the mean of those of a file. enrolment_seconds: length of the
    cue enrolment, which is then added; every voice needs one. Labels number the speakers (or classes) of the list.
    """

    def __init__(
        self,
        mixtures: str | Path | Sequence[MixtureSpec],
        seconds: float | None = None,
        faces: bool = False,
        sample_rate: int = SAMPLE_RATE,
        seed: int | None = None,
        channels: int = 1,
        enrolment_seconds: float | None = None,
        embeddings: bool = False,
    ) -> None:
        self.specs = read_list(mixtures) if isinstance(mixtures, str | Path) else list(mixtures)
        self.seed = seed
        self.seconds, self.faces, self.sample_rate, self.channels = seconds, faces, sample_rate, channels
        self.names = sorted({part.speaker for spec in self.specs for part in spec.voices})
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self.enrolment_seconds, self.embeddings = enrolment_seconds, embeddings
        for cue, wanted in (("lips", faces or embeddings), ("enrolment", enrolment_seconds is not None)):
            for spec in self.specs if wanted else ():
                for part in spec.voices:
                    if getattr(part, cue) is None:
                        raise InputError(f"mixture {spec.id}: no {cue} for {part.audio}; a model of {cue} needs all")

    def __len__(self) -> int:
        return len(self.specs)

    def __getitem__(self, index: int) -> Item:
        spec = self.specs[index % len(self.specs) if self.seed is None else shuffled(index, len(self), self.seed)]
        if self.seconds is not None:
            spec = self._cut(spec, self.seconds, index)
        mixture, sources = render(spec, self.sample_rate, self.channels)
        cues = {}
        for cue, read, wanted in (("lips", read_lips, self.faces), ("face", read_face, self.embeddings)):
            if wanted:
                count = pictures_in(mixture.shape[-1], self.sample_rate)
                cues[cue] = np.stack([read(p.lips, p.start_seconds, count) for p in spec.voices if p.lips is not None])
        if self.enrolment_seconds is not None:
            length = round(self.enrolment_seconds * self.sample_rate)
            enrolled = [p.enrolment for p in spec.voices if p.enrolment is not None]
            cues["enrolment"] = np.stack([read_repeated(file, length, self.sample_rate) for file in enrolled])
        return make_item(spec.id, mixture, sources, [self._numbers[part.speaker] for part in spec.voices], cues)

    def _cut(self, spec: MixtureSpec, seconds: float, index: int) -> MixtureSpec:
        begin = 0.0
        if self.seed is not None and spec.seconds > seconds:
            # On the grid of pictures, so that lips and sound stay as far apart as they are.
            last = int((spec.seconds - seconds) * FRAME_RATE)
            begin = int(np.random.default_rng((self.seed, index)).integers(last + 1)) / FRAME_RATE
        parts = tuple(replace(part, start_seconds=part.start_seconds + begin) for part in spec.parts)
        return MixtureSpec(spec.id, seconds, parts)
