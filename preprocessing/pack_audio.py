"""Packs the sounds of a manifest into one array a split, so that training reads them without decoding.

    python -m preprocessing.pack_audio MANIFEST OUT_FOLDER
    python -m preprocessing.pack_audio MANIFEST OUT_FOLDER --film 4

MANIFEST is a manifest.tsv of any module of this folder. It may also be a folder: then its manifest.tsv (or a table with
the columns path, speaker and split) is followed, and without one every sound below it becomes split `train`, its
folder's name standing for the speaker. OUT_FOLDER gets SPLIT.npy (int16 at the models' rate, mono, all files end to
end), SPLIT.tsv (speaker, start, length in samples, id) and skipped.tsv (name, reason). A run that was stopped goes on
where it was; splits that are there are left alone unless --overwrite is given.

With --film N every file is there as it is and N times as film sound: with noise of its own, compressed, gated, clipped,
with hum, coded at 16 to 96 kb/s, each with a chance (FILM). Coding while training would cost more than small models do.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avsep.data.effects import BitRateCodec, Clipping, Compression, Hum, NoiseFloor, NoiseGate, apply_effects
from avsep.data.manifest import SPLITS
from avsep.data.sound_file import SoundReader
from avsep.dsp.resample import resample
from avsep.errors import InputError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.options import engine_of
from avsep.jobs.run import run_jobs, unique
from avsep.signals import SAMPLE_RATE
from avsep.storage.files import write_lines, write_whole
from preprocessing.command import add_count, command
from preprocessing.corpus import Sound, add_folders, find_sounds, wrong_layout
from preprocessing.speech_folder import listed

PARTS = ".parts"

FILM = (
    NoiseFloor(),
    Compression(p=0.4),
    NoiseGate(),
    Hum(p=0.05),
    Clipping(p=0.06, below_peak_db=(1.0, 8.0)),
    BitRateCodec(),
)
"""What may happen to a file on its way into a film, in this order."""


class Job(NamedTuple):
    """One array to make of one file. film: number of the variant, 0 for the file as it is."""

    number: int
    row: Sound
    film: int


def list_files(source: Path) -> list[Sound]:
    """The files of a manifest or folder. Raises InputError."""
    table = source / "manifest.tsv" if source.is_dir() else source
    if table.is_file():
        return listed(table)
    files = find_sounds(source)
    if not files:
        raise wrong_layout(source, "a manifest.tsv or sound files")
    return [Sound(str(f.relative_to(source)), f, f.parent.name, SPLITS[0]) for f in files]


def read_mono(path: Path) -> np.ndarray:
    """(time,) int16 at the models' rate. Raises InputError when the file cannot be read or is empty."""
    with SoundReader(path) as file:
        samples, rate = file.read(), file.sample_rate
    if not len(samples):
        raise InputError(f"{path}: holds no samples (0 s)")
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds samples that are not numbers (NaN or infinite)")
    mono = resample(samples.mean(axis=1), rate, SAMPLE_RATE)
    return np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)


def film_sound(samples: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """(time,) int16 -> the same as film sound, what is beyond full scale scaled down to it."""
    rng = np.random.default_rng(seed)
    x = apply_effects(samples[None].astype(np.float32) / 32768, FILM, rng, SAMPLE_RATE)[0]
    x = x / max(1.0, float(np.abs(x).max(initial=0)))
    return np.round(x * 32767.0).astype(np.int16)


def decode(job: Job, parts: Path) -> tuple[Path, int]:
    """Make one array: where its samples are and how many."""
    part = parts / f"{job.number:07d}.npy"
    samples = read_mono(job.row.file)
    if job.film:
        samples = film_sound(samples, (job.number, job.film))
    write_whole(part, lambda partial: np.save(partial, samples))
    return part, len(samples)


def pack(source: Path, out: Path, *, overwrite: bool = False, engine: Engine = IN_PROCESS, film: int = 0) -> int:
    """Write the arrays and lists of every split of `source` that is not there; returns how many arrays they hold.
    film: variants of each file as film sound."""
    rows = list_files(source)
    splits = sorted({row.split for row in rows})
    there = [s for s in splits if (out / f"{s}.npy").is_file() and (out / f"{s}.tsv").is_file() and not overwrite]
    for split in there:
        print(f"{out / split}.npy is there already; --overwrite packs it again", file=sys.stderr)
    made = [(row if not n else row._replace(id=f"{row.id}~{n}"), n) for row in rows for n in range(film + 1)]
    jobs = [Job(number, row, n) for number, (row, n) in enumerate(made) if row.split not in there]
    if not jobs:
        return len(made)
    parts = out / PARTS
    named = unique(jobs, _name)
    done = run_jobs(jobs, functools.partial(decode, parts=parts), out, name=_name, engine=engine)
    for split in splits:
        pieces = [(job.row, *done[name]) for name, job in named.items() if job.row.split == split and name in done]
        if pieces and split not in there:
            _join(out, split, pieces)
    shutil.rmtree(parts, ignore_errors=True)
    return len(done)


def _name(job: Job) -> str:
    return job.row.id


def _join(out: Path, split: str, pieces: Sequence[tuple[Sound, Path, int]]) -> None:
    """SPLIT.npy, one piece after the other without holding them in memory, then SPLIT.tsv."""
    starts = np.cumsum([0, *(length for *_, length in pieces)])

    def fill(partial: Path) -> None:
        array = np.lib.format.open_memmap(partial, "w+", np.int16, (int(starts[-1]),))
        for (_, part, length), start in zip(pieces, starts, strict=False):
            array[start : start + length] = np.load(part)
        array.flush()

    (out / f"{split}.tsv").unlink(missing_ok=True)
    write_whole(out / f"{split}.npy", fill)
    lines = [
        f"{row.speaker}\t{start}\t{length}\t{row.id}" for (row, _, length), start in zip(pieces, starts, strict=False)
    ]
    write_lines(out / f"{split}.tsv", ["speaker\tstart\tlength\tid", *lines])


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "MANIFEST")
    parser.add_argument("--overwrite", action="store_true", help="pack again what is there already")
    add_count(parser, "--film", "N variants of each file as film sound", 0)


def _run(options: argparse.Namespace) -> int:
    return pack(options.source, options.out, overwrite=options.overwrite, engine=engine_of(options), film=options.film)


main = command(__doc__ or "", "pack_audio", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
