"""From the list of a corpus's sound files to its manifest: the road all corpora of voices and sounds share.

A module of this folder that reads such a corpus only says where its files are, whose voice each is and what split it
belongs to (`Sound`). The rest is here. Files stay where they are; those that soundfile cannot read to their end (AAC,
MP4, Shorten, some Opus) are decoded to FLAC under OUT_FOLDER/audio, mono at the models' rate unless they are to keep
what they have.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from avsep.data.manifest import SPLITS, Utterance, write_manifest
from avsep.data.sound_file import decoded, sound_seconds, whole_seconds
from avsep.dsp.resample import model_blocks
from avsep.errors import InputError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.options import add_engine
from avsep.jobs.run import run_jobs
from avsep.signals import SAMPLE_RATE
from avsep.storage.damaged import refused
from avsep.storage.documents import read_text
from avsep.storage.files import write_whole
from avsep.storage.tables import open_table

SUFFIXES = frozenset(
    (
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64"),
        *(".sph", ".wv1", ".m4a", ".mp4", ".aac", ".wma", ".mka", ".webm"),
    )
)
"""Ends of the names of sound files, in lower case."""

SHARES = (0.9, 0.05, 0.05)
"""Shares of the speakers that become train, dev and test where the corpus says nothing."""

_FOLDER_SPLITS = {"train": "train", "tr": "train", "dev": "dev", "cv": "dev", "valid": "dev", "test": "test"} | {
    "training": "train", "val": "dev", "validation": "dev", "development": "dev", "tt": "test", "eval": "test",
    "evaluation": "test",
}  # fmt: skip


def add_folders(parser: argparse.ArgumentParser, source: str = "FOLDER") -> None:
    """The arguments all corpora take: options.source, options.out and engine_of(options)."""
    parser.add_argument("source", type=Path, metavar=source, help="the corpus")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="where the lists go")
    add_engine(parser)


def add_shares(parser: argparse.ArgumentParser) -> None:
    """The shares of a split by hash: options.shares, a tuple of three that add up to 1."""
    parser.add_argument(
        "--shares",
        type=_shares,
        default=SHARES,
        metavar="TRAIN,DEV,TEST",
        help=f"of the splits, where a hash decides (default: {','.join(map(str, SHARES))})",
    )


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(share) for share in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not three shares of 0 or more that add up to 1, as 0.9,0.05,0.05"
        )
    return shares


class Sound(NamedTuple):
    """One sound of a corpus as the corpus lists it. speaker: who speaks, or the class of a sound that is no speech.
    stream: number of the audio stream in a file that holds several."""

    id: str
    file: Path
    speaker: str
    split: str
    stream: int | None = None


def find_sounds(folder: Path) -> list[Path]:
    """All sound files below a folder, sorted; hidden ones and those in hidden folders are left out."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Give the folder that holds the corpus")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def wrong_layout(folder: Path, expected: str) -> InputError:
    """The one message of a folder that is not the corpus it should be: what was expected, what is there."""
    if not folder.is_dir():
        found = "there is no such folder" if not folder.exists() else "it is a file"
    else:
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith("."))
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        found = f"found {', '.join(names[:8])}{more}" if names else "it is empty"
    return InputError(f"{folder}: expected {expected}; {found}. Give the folder as the corpus is published")


def folder_split(name: str) -> str | None:
    """The split that a folder's name stands for: train-clean-100 is "train", cv is "dev", anything unknown None."""
    return _FOLDER_SPLITS.get(name.lower().replace("_", "-").split("-")[0])


def hashed_split(name: str, shares: Sequence[float] = SHARES) -> str:
    """A split by the hash of a name: the same on every machine, in every order and when the corpus grows.

    shares: of train, dev and test; they add up to 1.
    """
    place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    for split, edge in zip(SPLITS, np.cumsum(shares), strict=True):
        if place < edge:
            return split
    return SPLITS[-1]


def read_table(path: Path, columns: Iterable[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV or TSV file with the numbers of their lines. Raises InputError that names what is missing."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with open_table(path, delimiter) as table:
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise InputError(
                f"{path}: no column {', '.join(missing)}; its columns are {', '.join(table.columns or ['none'])}"
            )
        for row in table.dicts():
            yield table.line, row


def read_lines(path: Path) -> list[str]:
    """Lines of a list in UTF-8, with or without the mark (BOM). Raises InputError for what is no such text."""
    with refused(f"{path}: cannot be read", "Save the list as UTF-8"):
        return read_text(path, "utf-8-sig").splitlines()


def make_manifest(
    sounds: Sequence[Sound], out: Path, engine: Engine = IN_PROCESS, native: bool = False
) -> list[Utterance]:
    """Write out/manifest.tsv and out/skipped.tsv; returns the rows of the manifest.

    native: what is decoded keeps its rate and channels. Raises InputError when two sounds share an id.
    """
    seen: dict[str, Path] = {}
    for sound in sounds:
        if seen.setdefault(sound.id, sound.file) is not sound.file:
            raise InputError(f"{sound.file}: its id {sound.id} is also that of {seen[sound.id]}. Rename one of them")
    work = functools.partial(_utterance, out=out, native=native)
    rows = list(run_jobs(sounds, work, out, name=lambda sound: sound.id, engine=engine).values())
    write_manifest(out / "manifest.tsv", rows)
    print(f"{out / 'manifest.tsv'}: {len(rows)} sounds, {len(sounds) - len(rows)} skipped")
    return rows


def check_speakers(sounds: Iterable[Sound]) -> None:
    """Raise InputError when a speaker is in two splits: a test of voices that were trained on measures nothing."""
    splits: dict[str, Sound] = {}
    for sound in sounds:
        first = splits.setdefault(sound.speaker, sound)
        if first.split != sound.split:
            raise InputError(
                f"speaker {sound.speaker} is in two splits: {first.file} in {first.split}, {sound.file} in"
                f" {sound.split}. Choose another rule with --split or --speaker"
            )


def _utterance(sound: Sound, out: Path, native: bool = False) -> Utterance:
    for text in (sound.id, str(sound.file), sound.speaker):
        if any(mark in text for mark in "\t\r\n"):
            raise InputError(f"{text!r} holds a tab or a line break, which a manifest cannot. Rename it")
    file, seconds = readable(sound.file, out / "audio" / f"{sound.id}.flac", sound.stream, native)
    return Utterance(sound.id, file, None, None, sound.speaker, sound.split, seconds)


def readable(file: Path, target: Path, stream: int | None = None, native: bool = False) -> tuple[Path, float]:
    """A file that soundfile reads to its end, and its length in seconds: the file itself, else `target`, made of it,
    mono at the models' rate or, with `native`, with its own rate and channels.

    Raises InputError when there is no sound in it, or when a part of it is damaged or missing.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    if stream is None:
        seconds = whole_seconds(file)
        if seconds == 0:
            raise InputError(f"{file}: holds no samples (0 s)")
        if seconds is not None:
            return file, seconds
    if native:
        blocks = list(decoded(file, stream=stream))
        samples, rate = np.concatenate([block.samples for block in blocks], axis=1).T, blocks[0].sample_rate
    else:
        samples, rate = np.concatenate(list(model_blocks(decoded(file, stream=stream)))), SAMPLE_RATE
    write_whole(target, lambda path: soundfile.write(path, samples.clip(-1, 1), rate, subtype="PCM_16"))
    return target, sound_seconds(target)
