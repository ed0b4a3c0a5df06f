"""Fixed lists of Libri2Mix and Libri3Mix, from the published metadata or from mixtures that were generated already.

    python -m preprocessing.librimix LibriSpeech OUT_FOLDER --metadata LibriMix/metadata/Libri2Mix [--noise wham_noise]
    python -m preprocessing.librimix Libri2Mix OUT_FOLDER [--noise]

With --metadata, the utterances and the gains are those of libri2mix_train-clean-100.csv, ..._dev-clean.csv, ... and
no mixture is stored. With --noise the noise of WHAM! is added as published: its first channel, continued with itself
across a fade of one second where it is too short; such noises are written to OUT_FOLDER/noise.

Without --metadata, the folder holds generated mixtures, [wav16k/min/]train-100/mix_clean, train-100/s1, ....
"""

from __future__ import annotations

import argparse
import functools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from avsep.data.lists import MixtureSpec, Part
from avsep.data.sound_file import SoundReader, sound_seconds
from avsep.errors import InputError, UsageError
from avsep.jobs.options import engine_of
from avsep.storage.files import write_whole
from preprocessing.command import command
from preprocessing.corpus import add_folders, folder_split, read_table, wrong_layout
from preprocessing.mixture_lists import (
    Mix,
    make_lists,
    mix_seconds,
    speakers_of,
    split_folders,
    tree_mixes,
    tree_root,
)

FADE_SECONDS = 1.0


def from_metadata(source: Path, metadata: Path, wham: Path | None, longest: bool) -> list[Mix]:
    """The mixtures of all published tables in a folder. Raises InputError for a wrong layout or a damaged table."""
    tables = sorted(p for p in metadata.glob("libri*mix_*.csv") if not p.stem.endswith("_info"))
    if not tables:
        raise wrong_layout(metadata, "tables such as libri2mix_train-clean-100.csv")
    if not any((source / table.stem.split("mix_")[1]).is_dir() for table in tables):
        raise wrong_layout(source, f"the folders of LibriSpeech ({', '.join(t.stem.split('mix_')[1] for t in tables)})")
    if wham is not None:
        split_folders(wham, "folders tr, cv, tt with the noises of WHAM!")
    mixes = []
    for table in tables:
        count = int("".join(c for c in table.stem.split("mix_")[0] if c.isdigit()) or 2)
        columns = [f"source_{n}_{what}" for n in range(1, count + 1) for what in ("path", "gain")]
        split = folder_split(table.stem.split("mix_")[1])
        if split is None:
            raise InputError(f"{table}: its name tells no split; expected train, dev or test after libri{count}mix_")
        needed = ["mixture_ID", *columns, *(["noise_path", "noise_gain"] if wham else [])]
        for line, row in read_table(table, needed):
            where = f"{table}, line {line}"
            parts = [
                Part(source / path, None, Path(path).name.split("-")[0], "voice", 0.0, _gain(row, column, where))
                for path, column in ((row[f"source_{n}_path"], f"source_{n}_gain") for n in range(1, count + 1))
            ]
            if wham:
                gain = _gain(row, "noise_gain", where)
                parts.append(Part(wham / row["noise_path"], None, "noise", "noise", 0.0, gain))
            mixes.append(Mix(row["mixture_ID"], split, tuple(parts), longest))
    return mixes


def _gain(row: dict[str, str], column: str, where: str) -> float:
    try:
        return float(row[column])
    except ValueError as error:
        raise InputError(f"{where}: {column} is {row[column]!r}; it must be a number") from error


def continue_noise(noise: np.ndarray, length: int, fade: int) -> np.ndarray:
    """(length,) of a noise that follows itself as often as needed, each time across a raised cosine of `fade`."""
    fade = min(fade, len(noise) // 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / max(fade - 1, 1))
    out = noise
    while len(out) < length:
        joint = out[len(out) - fade :] * rise[::-1] + noise[:fade] * rise
        out = np.concatenate([out[: len(out) - fade], joint, noise[fade:]])
    return out[:length]


def with_noise(mix: Mix, out: Path) -> MixtureSpec:
    """The mixture with its noise as long as its longest voice, in one channel."""
    *voices, noise = mix.parts
    voice_seconds = [sound_seconds(part.audio) for part in voices]
    with SoundReader(noise.audio) as file:
        fits = file.channels == 1 and file.seconds >= max(voice_seconds)
    if not fits:
        target = out / "noise" / mix.split / f"{mix.id}.flac"
        with SoundReader(noise.audio) as file:
            samples, rate = file.read(), file.sample_rate
        if not len(samples):
            raise InputError(f"{noise.audio}: holds no samples (0 s)")
        length = round(max(voice_seconds) * rate)
        longer = continue_noise(samples[:, 0], length, round(FADE_SECONDS * rate))
        write_whole(target, lambda path: soundfile.write(path, longer, rate, subtype="PCM_16"))
        mix = replace(mix, parts=(*voices, replace(noise, audio=target)))
    seconds = mix_seconds(mix) if mix.longest else min(voice_seconds)
    return MixtureSpec(mix.id, seconds, mix.parts)


def from_tree(folder: Path, noise: bool) -> list[Mix]:
    """The mixtures of a generated tree."""
    first = split_folders(
        folder, "folders SPLIT/mix_clean, SPLIT/s1, SPLIT/s2 (SPLIT: train-100, dev, test)", ["s1", "s2"]
    )
    count = sum((first[0][0] / f"s{n}").is_dir() for n in range(1, 10))
    voices = [f"s{n}" for n in range(1, count + 1)]
    mixture = "mix_both" if noise else "mix_clean"
    return tree_mixes(folder, mixture, voices, "noise" if noise else None, speakers_of(count, None))


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "LIBRISPEECH|LIBRIMIX")
    parser.add_argument("--metadata", type=Path, metavar="FOLDER", help="the published tables, e.g. metadata/Libri2Mix")
    parser.add_argument(
        "--noise", nargs="?", const="", metavar="WHAM_NOISE", help="noisy mixtures; the folder only with --metadata"
    )
    parser.add_argument(
        "--mode", choices=("min", "max"), default="min", help="end with the shorter or the longer voice (default: min)"
    )


def _run(options: argparse.Namespace) -> int:
    if options.metadata is None:
        if options.noise:
            raise UsageError(f"--noise {options.noise}: generated mixtures have their own noise; give --noise alone")
        mixes = from_tree(tree_root(options.source, options.mode), options.noise is not None)
        return make_lists(mixes, options.out, engine_of(options))
    if options.noise == "":
        raise UsageError("--noise: with --metadata give the folder wham_noise after it")
    wham = Path(options.noise) if options.noise else None
    mixes = from_metadata(options.source, options.metadata, wham, options.mode == "max")
    if wham is None:
        return make_lists(mixes, options.out, engine_of(options))
    return make_lists(mixes, options.out, engine_of(options), functools.partial(with_noise, out=options.out))


main = command(__doc__ or "", "librimix", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
