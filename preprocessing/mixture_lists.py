"""From a corpus of mixtures to fixed lists: the road all such corpora share.

A module of this folder says which files make a mixture (`Mix`); here they are measured and written as train.tsv,
dev.tsv and test.tsv of avsep.data.lists, and what cannot be used as skipped.tsv. No sound is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from avsep.data.lists import MixtureSpec, Part, write_list
from avsep.data.manifest import SPLITS
from avsep.data.sound_file import SoundReader, sound_seconds
from avsep.errors import InputError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.run import run_jobs, unique
from preprocessing.corpus import SUFFIXES, folder_split, wrong_layout

SUM_TOLERANCE = 1e-3
"""Largest difference between a mixture and the sum of its parts that rounding explains."""

Job = TypeVar("Job", bound="Mix")


@dataclass(frozen=True)
class Mix:
    """One mixture as its corpus lists it: the parts, with their gains, and which of them sets the length.

    longest: whether the mixture lasts as long as its longest voice ("max"), shorter ones being followed by silence;
    otherwise it ends with the shortest part ("min").
    """

    id: str
    split: str
    parts: tuple[Part, ...]
    longest: bool = False


def measure(mix: Mix) -> MixtureSpec:
    """The mixture with its length. Raises InputError for a part that is gone or holds no sound."""
    return MixtureSpec(mix.id, mix_seconds(mix), mix.parts)


def mix_seconds(mix: Mix) -> float:
    """How long a mixture lasts by the lengths of its files."""
    lengths = {part: sound_seconds(part.audio) for part in mix.parts}
    if mix.longest:
        return max(seconds for part, seconds in lengths.items() if part.role == "voice")
    return min(lengths.values())


def make_lists(
    mixes: Sequence[Job], out: Path, engine: Engine = IN_PROCESS, work: Callable[[Job], MixtureSpec] = measure
) -> int:
    """Write out/SPLIT.tsv of every split that has mixtures, and out/skipped.tsv; returns how many mixtures."""
    named = unique(mixes, _name)
    specs = run_jobs(mixes, work, out, name=_name, engine=engine)
    for split in SPLITS:
        chosen = [specs[name] for name, mix in named.items() if mix.split == split and name in specs]
        if chosen:
            write_list(out / f"{split}.tsv", chosen)
    print(f"{out}: {len(specs)} mixtures, {len(mixes) - len(specs)} skipped")
    return len(specs)


def _name(mix: Mix) -> str:
    return f"{mix.split}/{mix.id}"


def split_folders(folder: Path, expected: str, needed: Iterable[str] = ()) -> list[tuple[Path, str]]:
    """Folders named after a split that hold the `needed` ones: [(folder, split)]. Raises InputError without any."""
    found = []
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            split = folder_split(path.name)
            if split and all((path / name).is_dir() for name in needed):
                found.append((path, split))
    if not found:
        raise wrong_layout(folder, expected)
    return found


def tree_root(folder: Path, mode: str) -> Path:
    """Where the trees of generated mixtures begin: FOLDER, or its wav16k/MODE, or its wav8k/MODE."""
    for rate in ("wav16k", "wav8k"):
        if (folder / rate / mode).is_dir():
            return folder / rate / mode
    return folder


def tree_mixes(
    folder: Path, mixture: str, voices: Sequence[str], noise: str | None, speakers: Callable[[str], Sequence[str]]
) -> list[Mix]:
    """Mixtures of a generated tree SPLIT/s1/NAME.wav, SPLIT/s2/NAME.wav, ...: each is the sum of its files.

    mixture, voices, noise: names of the folders of the mixtures, of the voices and of the noise. speakers(name of a
    file without its end) names the speakers, in the order of the voices. Raises InputError when a folder is missing and
    when the first mixture of a split is not the sum of its parts.
    """
    needed = [mixture, *voices, *([noise] if noise else [])]
    mixes = []
    for path, split in split_folders(folder, f"folders SPLIT/{', SPLIT/'.join(needed)} (SPLIT: tr, cv, tt...)", needed):
        files = sorted(p for p in (path / mixture).iterdir() if p.suffix.lower() in SUFFIXES)
        for file in files:
            named = zip(voices, speakers(file.stem), strict=True)
            parts = [Part(path / voice / file.name, None, speaker, "voice", 0.0, 1.0) for voice, speaker in named]
            if noise:
                parts.append(Part(path / noise / file.name, None, noise, "noise", 0.0, 1.0))
            mixes.append(Mix(file.stem, split, tuple(parts)))
        if files:
            check_sum(files[0], mixes[-len(files)].parts)
    return mixes


def check_sum(mixture: Path, parts: Sequence[Part]) -> None:
    """Raise InputError unless the parts add up to the mixture, apart from rounding to 16 bit."""
    try:
        total = sum(_samples(part.audio) for part in parts)
        # What a file of integers cannot hold was cut off when the mixture was written.
        difference = float(np.abs(_samples(mixture).clip(-1, 1) - np.clip(total, -1, 1)).max())
    except (InputError, ValueError):
        return  # a missing or shorter part is a matter of its row
    if difference > SUM_TOLERANCE:
        raise InputError(
            f"{mixture}: differs by {difference:.3f} from the sum of {', '.join(str(part.audio) for part in parts)}."
            " Choose the mixtures that belong to these parts"
        )


def _samples(file: Path) -> np.ndarray:
    with SoundReader(file) as sound:
        return sound.read().squeeze()


def speakers_of(voices: int, width: int | None, mark: str = "_", step: int = 1) -> Callable[[str], list[str]]:
    """How the name of a mixture tells its speakers: the first `width` characters of every `step`-th piece between
    `mark`s; with width None, of each piece what comes before its first "-"."""

    def speakers(name: str) -> list[str]:
        pieces = name.split(mark)[::step]
        if len(pieces) != voices:
            raise InputError(f"{name}: not the name of a mixture of {voices} voices")
        return [piece[:width] if width else piece.split("-")[0] for piece in pieces]

    return speakers
