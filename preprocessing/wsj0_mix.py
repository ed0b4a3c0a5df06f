"""Fixed lists of WSJ0-2mix and WSJ0-3mix, from the published lists or from mixtures that were generated already.

    python -m preprocessing.wsj0_mix WSJ0 OUT_FOLDER --lists CREATE_SPEAKER_MIXTURES
    python -m preprocessing.wsj0_mix wsj0-mix/2speakers OUT_FOLDER

With --lists, WSJ0 is a folder with the utterances (wsj0/si_tr_s/40n/40na010x.wav, or .flac, .sph, .wv1; on whatever
depth, so the discs will do) and the folder of lists holds mix_2_spk_tr.txt, ..._cv.txt and ..._tt.txt, whose rows are
path, level in dB, path, level in dB. OUT_FOLDER/utterances/manifest.tsv lists the utterances; train.tsv, dev.tsv and
test.tsv the mixtures. As published, each utterance is brought to the active level of ITU-T P.56 (measured at 8 kHz)
before its gain, and the loudest of mixture and sources to 0.9. The published program measures that level with another
implementation, so gains can differ from its by tenths of a dB.

Without --lists, the folder holds generated mixtures, [wav16k/min/]tr/mix, tr/s1, tr/s2, cv/..., tt/....
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avsep.data.lists import MixtureSpec, Part
from avsep.data.sound import read_sound
from avsep.data.sound_file import sound_seconds
from avsep.errors import InputError
from avsep.jobs.engine import Engine
from avsep.jobs.options import engine_of
from preprocessing.active_level import active_level
from preprocessing.command import command
from preprocessing.corpus import Sound, add_folders, find_sounds, make_manifest, read_lines, wrong_layout
from preprocessing.mixture_lists import Mix, make_lists, mix_seconds, speakers_of, tree_mixes, tree_root

LEVEL_RATE = 8000
"""Rate at which the active level is measured, in Hz."""

PEAK = 0.9
SPLITS = {"tr": "train", "cv": "dev", "tt": "test"}


@dataclass(frozen=True)
class LevelledMix(Mix):
    """A mixture whose list gives the levels of its voices in dB."""

    decibels: tuple[float, ...] = ()


def set_gains(mix: LevelledMix) -> MixtureSpec:
    """The mixture with the gains that its levels mean for its files."""
    seconds = mix_seconds(mix)
    voices, gains = [], []
    for part, decibels in zip(mix.parts, mix.decibels, strict=True):
        voice = read_sound(part.audio, 0.0, round(sound_seconds(part.audio) * LEVEL_RATE), LEVEL_RATE)
        level = active_level(voice, LEVEL_RATE)
        if not level:
            raise InputError(f"{part.audio}: is silent")
        gains.append(10 ** (decibels / 20) / level)
        voices.append(np.pad(voice, (0, round(seconds * LEVEL_RATE)))[: round(seconds * LEVEL_RATE)] * gains[-1])
    peak = max(np.abs(signal).max() for signal in (*voices, np.sum(voices, axis=0)))
    parts = (replace(part, gain=float(gain * PEAK / peak)) for part, gain in zip(mix.parts, gains, strict=True))
    return MixtureSpec(mix.id, seconds, tuple(parts))


def read_rows(path: Path, speakers: int) -> Iterator[tuple[str, list[str], list[str]]]:
    """Rows of a published list: name of the mixture, paths, levels as they are written."""
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            if len(fields) != 2 * speakers:
                raise ValueError
            [float(level) for level in fields[1::2]]
        except ValueError:
            raise InputError(
                f"{path}, line {number}: {line[:80]!r} is not a path and a level in dB for each of {speakers} speakers"
            ) from None
        pieces = (text for path, level in zip(fields[::2], fields[1::2], strict=True) for text in (_stem(path), level))
        yield "_".join(pieces), fields[::2], fields[1::2]


def _stem(path: str) -> str:
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _key(path: str | Path) -> str:
    """What an utterance's path has in common with the lists: its three last parts, without the end."""
    return "/".join(Path(path).with_suffix("").parts[-3:]).lower()


def from_lists(source: Path, lists: Path, out: Path, speakers: int, longest: bool, engine: Engine) -> int:
    """Write the manifest of the utterances and the lists; returns the number of mixtures."""
    rows = []
    for name, split in SPLITS.items():
        file = lists / f"mix_{speakers}_spk_{name}.txt"
        if file.is_file():
            rows += [(split, *row) for row in read_rows(file, speakers)]
    if not rows:
        raise wrong_layout(
            lists, f"lists mix_{speakers}_spk_tr.txt, mix_{speakers}_spk_cv.txt, mix_{speakers}_spk_tt.txt"
        )
    # The first in the order of the alphabet counts: a converted .flac or .wav rather than a disc's .wv1.
    found = {_key(file): file for file in reversed(find_sounds(source))}
    wanted = {_key(path): split for split, _, paths, _ in rows for path in paths}
    if not found.keys() & wanted.keys():
        raise wrong_layout(source, f"utterances such as {rows[0][2][0]} (or .flac, .sph, .wv1) on any depth")
    sounds = [
        Sound(key, found.get(key, source / f"{key}.wav"), key.split("/")[-2], split) for key, split in wanted.items()
    ]
    here = {row.id: row for row in make_manifest(sounds, out / "utterances", engine)}
    mixes = []
    for split, name, paths, levels in rows:
        parts = []
        for key in map(_key, paths):
            # One that is missing keeps its place: the mixture is then skipped, with the file's name.
            audio = here[key].audio if key in here else source / f"{key}.wav"
            parts.append(Part(audio, None, key.split("/")[-2], "voice", 0.0, 1.0))
        mixes.append(LevelledMix(name, split, tuple(parts), longest, tuple(map(float, levels))))
    return make_lists(mixes, out, engine, set_gains)


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "WSJ0")
    parser.add_argument("--lists", type=Path, metavar="FOLDER", help="the published lists mix_2_spk_tr.txt, ...")
    parser.add_argument("--speakers", type=int, choices=(2, 3), default=2, help="default: 2")
    parser.add_argument(
        "--mode", choices=("min", "max"), default="min", help="end with the shorter or the longer voice (default: min)"
    )


def _run(options: argparse.Namespace) -> int:
    if options.lists:
        longest = options.mode == "max"
        return from_lists(options.source, options.lists, options.out, options.speakers, longest, engine_of(options))
    voices = [f"s{n}" for n in range(1, options.speakers + 1)]
    speakers = speakers_of(options.speakers, 3, step=2)
    mixes = tree_mixes(tree_root(options.source, options.mode), "mix", voices, None, speakers)
    return make_lists(mixes, options.out, engine_of(options))


main = command(__doc__ or "", "wsj0_mix", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
