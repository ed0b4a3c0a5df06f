"""Packs the utterances of a manifest into tar files that training streams (avsep.data.shards), in webdataset's format.

    python -m preprocessing.make_shards MANIFEST OUT_FOLDER [--split train] [--size 1]

OUT_FOLDER gets SPLIT-000000.tar, SPLIT-000001.tar, ..., each of about --size GiB, and smaller ones where there would be
fewer than 8, so that as many processes can read; or, with --utterances, each with so many: NUMBER.flac (16 kHz, mono),
NUMBER.npz (lips, where the manifest has some) and NUMBER.json (id, speaker, seconds). Utterances are shuffled first,
because a stream mixes what is near each other. SPLIT-speakers.txt names the speakers, one a line, which the labels of
items number; skipped.tsv lists what could not be read. A run that was stopped goes on
where it was; --overwrite begins anew. Shards of SPLIT that an earlier run cut in another way are removed.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from avsep.data.manifest import SPLITS, Utterance, read_manifest
from avsep.data.sound import read_sound
from avsep.errors import AvsepError, InputError
from avsep.jobs.options import add_engine, engine_of, positive
from avsep.jobs.run import run_jobs
from avsep.signals import FRAME_RATE, LIP_SIZE, SAMPLE_RATE
from avsep.storage.damaged import refused
from avsep.storage.files import write_lines, write_whole
from preprocessing.command import add_count, command

SEED = 0
"""Of the order of the utterances."""
FEWEST = 8
"""Shards, unless they are to have a number of utterances."""
SOUND_BYTES, LIP_BYTES = 18_000, FRAME_RATE * LIP_SIZE**2
"""Of a second, about: FLAC takes 55 % of 16 bits, lips are not compressed."""


class Shard(NamedTuple):
    """One tar file to write, by its name: a path of what is made would change what is asked. `first` is the number of
    its first utterance."""

    name: str
    first: int
    rows: tuple[Utterance, ...]


class Packed(NamedTuple):
    """What became of a shard."""

    file: Path
    utterances: int
    skipped: list[str]


def write_shard(shard: Shard, out: Path) -> Packed:
    """Write one shard into a folder. Utterances that cannot be read are left out."""
    skipped: list[str] = []
    write_whole(out / shard.name, functools.partial(_write, shard, skipped))
    return Packed(out / shard.name, len(shard.rows) - len(skipped), skipped)


def _write(shard: Shard, skipped: list[str], path: Path) -> None:
    import webdataset

    with webdataset.TarWriter(str(path), encoder=False) as tar:
        for number, row in enumerate(shard.rows, shard.first):
            try:
                files = pack(row)
            except (AvsepError, OSError) as error:
                skipped.append(f"{row.id}\t{' '.join(str(error).split())}")
            else:
                tar.write({"__key__": f"{number:09d}", **files})


def pack(row: Utterance) -> dict[str, bytes]:
    """The files of an utterance: name's end -> bytes. Raises InputError when sound or lips cannot be read."""
    length = round(row.seconds * SAMPLE_RATE)
    if length < 1:
        raise InputError(f"{row.audio}: holds no samples (0 s)")
    sound = read_sound(row.audio, 0.0, length, at_least=row.seconds)
    flac = io.BytesIO()
    soundfile.write(flac, np.clip(sound, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    about = {"id": row.id, "speaker": row.speaker, "seconds": row.seconds}
    files = {"flac": flac.getvalue(), "json": json.dumps(about).encode()}
    if row.lips is not None:
        lips = io.BytesIO()
        with (
            refused(f"{row.lips}: no lips can be read", "preprocessing.extract_lips makes such files"),
            np.load(row.lips) as data,
        ):
            np.savez(lips, **{name: data[name] for name in ("lips", "first", "face") if name in data})
        files["npz"] = lips.getvalue()
    return files


def list_shards(manifest: Path, split: str, size: float = 1.0, utterances: int | None = None) -> list[Shard]:
    """The shards of one split of a manifest, of about `size` GiB or of so many utterances. Raises InputError when it is
    empty."""
    rows = read_manifest(manifest, split)
    if not rows:
        raise InputError(f"{manifest}: no rows of split {split!r}")
    chosen = [rows[n] for n in np.random.default_rng(SEED).permutation(len(rows))]
    shards = []
    first = 0
    for number, count in enumerate(_counts(chosen, size, utterances)):
        shards.append(Shard(f"{split}-{number:06d}.tar", first, tuple(chosen[first : first + count])))
        first += count
    return shards


def _counts(rows: list[Utterance], size: float, utterances: int | None) -> list[int]:
    """Utterances of each shard."""
    if utterances is not None:
        return [len(rows[first : first + utterances]) for first in range(0, len(rows), utterances)]
    sizes = np.array([row.seconds * (SOUND_BYTES + (row.lips is not None) * LIP_BYTES) for row in rows])
    sizes = np.maximum(sizes, 1)
    shards = min(len(rows), max(FEWEST, round(sizes.sum() / (size * 2**30))))
    # Of shards of one size, the one in which an utterance has its middle. One that is left empty is none.
    places = ((sizes.cumsum() - sizes / 2) / sizes.sum() * shards).astype(int)
    return [int(count) for count in np.bincount(places) if count]


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    parser.add_argument("--size", type=positive, metavar="GIB", default=1.0, help="of a shard, about (default: 1)")
    add_count(parser, "--utterances", "in a shard, instead of a size", None)
    add_engine(parser)
    parser.add_argument("--overwrite", action="store_true", help="write shards that are there again")


def _run(options: argparse.Namespace) -> int:
    shards = list_shards(options.manifest, options.split, options.size, options.utterances)
    speakers = sorted({row.speaker for shard in shards for row in shard.rows})
    write_lines(options.out / f"{options.split}-speakers.txt", speakers)
    found = run_jobs(
        shards,
        functools.partial(write_shard, out=options.out),
        options.out,
        name=lambda shard: shard.name,
        engine=engine_of(options),
        again=options.overwrite,
    )
    done = list(found.values())
    for file in set(options.out.glob(f"{options.split}-{'[0-9]' * 6}.tar")) - {one.file for one in done}:
        file.unlink()  # cut in another way, by an earlier run
    failed = len(shards) - len(done)
    if not failed:
        write_lines(options.out / "skipped.tsv", ["name\treason", *(line for one in done for line in one.skipped)])
    made = sum(one.utterances for one in done)
    print(f"{options.out}: {made} utterances in {len(done)} shards, {sum(len(one.skipped) for one in done)} skipped")
    return made


main = command(__doc__ or "", "make_shards", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
