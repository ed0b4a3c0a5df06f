"""WHAM! and WHAMR!: the noises as a corpus of sounds, the generated mixtures as fixed lists.

    python -m preprocessing.wham wham_noise OUT_FOLDER
    python -m preprocessing.wham whamr OUT_FOLDER --mixtures both --room reverb

A folder with the noises (tr/*.wav, cv/*.wav, tt/*.wav) ends in OUT_FOLDER/manifest.tsv, one row a noise. A folder of
mixtures ([wav16k/min/]tr/mix_both, tr/s1, tr/s2, tr/noise, cv/...) ends in train.tsv, dev.tsv and test.tsv:

--mixtures both      two voices and noise (mix_both; the default)
--mixtures clean     two voices (mix_clean)
--mixtures single    the first voice and noise (mix_single), to enhance speech
--room reverb        WHAMR!: the voices as they sound in the room are the sources (mix_..._reverb, s1_reverb, ...)
--room anechoic      WHAMR!: voices and mixtures without the room
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsep.jobs.options import engine_of
from preprocessing.command import command
from preprocessing.corpus import Sound, add_folders, find_sounds, make_manifest, wrong_layout
from preprocessing.mixture_lists import make_lists, speakers_of, split_folders, tree_mixes, tree_root

NOISE = "wham_noise"
"""What the manifest calls the class of these sounds: bars, cafes, restaurants and streets of one city, unlabelled."""


def list_noises(folder: Path) -> list[Sound]:
    """The noises of all splits. Raises InputError for a wrong layout."""
    sounds = []
    for path, split in split_folders(folder, "folders tr, cv and tt with noises or mixtures"):
        sounds += [Sound(f"{path.name}/{file.stem}", file, NOISE, split) for file in find_sounds(path)]
    if not sounds:
        raise wrong_layout(folder, "sound files in the folders tr, cv and tt")
    return sounds


def has_mixtures(folder: Path) -> bool:
    """Whether a folder holds trees of mixtures rather than noises."""
    return folder.is_dir() and any(path.is_dir() for path in folder.glob("*/mix_*"))


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "WHAM")
    parser.add_argument("--mixtures", choices=("both", "clean", "single"), default="both", help="default: both")
    parser.add_argument("--room", choices=("reverb", "anechoic"), help="which mixtures of WHAMR! (WHAM! has no rooms)")
    parser.add_argument("--mode", choices=("min", "max"), default="min", help="which of wav16k/min, wav16k/max")


def _run(options: argparse.Namespace) -> int:
    root = tree_root(options.source, options.mode)
    if not has_mixtures(root):
        return len(make_manifest(list_noises(root), options.out, engine_of(options)))
    end = f"_{options.room}" if options.room else ""
    count = 1 if options.mixtures == "single" else 2
    # The names are those of WSJ0-2mix: two utterances, each followed by its level.
    both = speakers_of(2, 3, step=2)
    mixes = tree_mixes(
        root,
        f"mix_{options.mixtures}{end}",
        [f"s{n}{end}" for n in range(1, count + 1)],
        None if options.mixtures == "clean" else "noise",
        lambda name: both(name)[:count],
    )
    return make_lists(mixes, options.out, engine_of(options))


main = command(__doc__ or "", "wham", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
