"""Lists a folder of sounds by their class, as noise or for universal separation: ESC-50 and folders like it.

    python -m preprocessing.sound_folder ESC-50 OUT_FOLDER
    python -m preprocessing.sound_folder SOUNDS OUT_FOLDER

OUT_FOLDER/manifest.tsv has a row for every sound, its class in the place of the speaker; skipped.tsv lists what could
not be read, and why. Where the class is:

ESC-50      in meta/esc50.csv (columns filename, fold, category), the sounds in audio/
otherwise   in the name of the sound's folder, without a number before it (001_dog_bark, "001 - Dog bark")

Sounds named as in ESC (FOLD-CLIP-TAKE, e.g. 1-100032-A-0.wav) keep its folds: 1 to 3 are train, 4 is dev, 5 is test.
With --split folder the first folder below SOUNDS is the split (train*, dev*, test*, ...); others fall into the splits
by a hash of their name without a number of the take at its end.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from avsep.data.manifest import SPLITS
from avsep.errors import InputError
from avsep.jobs.options import engine_of
from preprocessing.command import command
from preprocessing.corpus import (
    SHARES,
    Sound,
    add_folders,
    add_shares,
    find_sounds,
    folder_split,
    hashed_split,
    make_manifest,
    read_table,
    wrong_layout,
)

FOLDS = {"1": "train", "2": "train", "3": "train", "4": "dev", "5": "test"}

_ESC_NAME = re.compile(r"([1-5])-\d+-[A-Za-z](-\d+)?")


def list_sounds(folder: Path, split: str | None = None, shares: tuple[float, ...] = SHARES) -> list[Sound]:
    """The sounds of a folder; see the module for the rules. Raises InputError for a layout they do not fit."""
    table = folder / "meta" / "esc50.csv"
    if table.is_file():
        return [
            Sound(
                row["filename"], folder / "audio" / row["filename"], row["category"], split or _fold(table, line, row)
            )
            for line, row in read_table(table, ("filename", "fold", "category"))
        ]
    files = find_sounds(folder)
    if not files:
        raise wrong_layout(folder, "meta/esc50.csv and audio/, or folders of sounds named after their class")
    return [_sound(folder, file, split, shares) for file in files]


def _fold(table: Path, line: int, row: dict[str, str]) -> str:
    if row["fold"] not in FOLDS:
        raise InputError(f"{table}, line {line}: fold is {row['fold']!r}; it must be one of {', '.join(FOLDS)}")
    return FOLDS[row["fold"]]


def _sound(folder: Path, file: Path, split: str | None, shares: tuple[float, ...]) -> Sound:
    name = file.relative_to(folder)
    esc = _ESC_NAME.fullmatch(file.stem)
    label = re.sub(r"^\d+[\s_.-]+", "", file.parent.name if len(name.parts) > 1 else folder.resolve().name)
    if split == "folder":
        chosen = folder_split(name.parts[0])
        if chosen is None:
            raise wrong_layout(folder, f"folders named after splits (train..., dev..., test...) above {name}")
    elif split:
        chosen = split
    elif esc:
        chosen = FOLDS[esc.group(1)]
    else:
        chosen = hashed_split(re.sub(r"[-_]\d{1,2}$", "", file.stem), shares)
    return Sound(str(name), file, label, chosen)


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "SOUNDS")
    parser.add_argument("--split", choices=("folder", *SPLITS), help="default: ESC's folds, or by a hash of the name")
    add_shares(parser)


def _run(options: argparse.Namespace) -> int:
    return len(
        make_manifest(list_sounds(options.source, options.split, options.shares), options.out, engine_of(options))
    )


main = command(__doc__ or "", "sound_folder", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
