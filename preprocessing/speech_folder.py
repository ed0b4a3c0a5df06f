"""Lists any folder of speech recordings, one talker a file.

    python -m preprocessing.speech_folder FOLDER OUT_FOLDER
    python -m preprocessing.speech_folder LibriSpeech OUT_FOLDER --split folder --speaker 1

OUT_FOLDER/manifest.tsv gets a row for every recording, skipped.tsv every file that could not be read, and why. A
FOLDER/manifest.tsv with the columns path, speaker and split is followed; without one the file's path tells:

--speaker N       the N-th folder on the path below FOLDER is the speaker, from 0; -1, the default, is the file's own
--speaker REGEX   the first group of a regular expression that is searched in the path, e.g. "(\\d+)-\\d+-\\d+"
--split hash      each speaker falls into train, dev or test by a hash of the name, in the shares of --shares
--split folder    the first folder below FOLDER is named after the split: train*, dev*, test*, tr, cv, tt, valid, eval
--split train     (or dev, test) everything belongs to one split

No speaker is ever in two splits.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from avsep.data.manifest import COLUMNS, SPLITS, read_manifest
from avsep.errors import InputError, UsageError
from avsep.jobs.options import engine_of
from avsep.storage.tables import open_table
from preprocessing.command import command
from preprocessing.corpus import (
    SHARES,
    SUFFIXES,
    Sound,
    add_folders,
    add_shares,
    check_speakers,
    find_sounds,
    folder_split,
    hashed_split,
    make_manifest,
    read_table,
    wrong_layout,
)

RULES = ("hash", "folder", *SPLITS)


def list_speech(
    folder: Path, speaker: str = "-1", split: str = "hash", shares: tuple[float, ...] = SHARES
) -> list[Sound]:
    """The recordings of a folder; see the module for the rules. Raises InputError for a layout they do not fit."""
    if (folder / "manifest.tsv").is_file():
        sounds = listed(folder / "manifest.tsv")
    else:
        files = find_sounds(folder)
        if not files:
            raise wrong_layout(folder, f"sound files ({', '.join(sorted(SUFFIXES))}) in it or its folders")
        sounds = []
        for file in files:
            name = file.relative_to(folder)
            who = _speaker(name, speaker, folder)
            sounds.append(Sound(str(name), file, who, _split(name, who, split, shares, folder)))
    check_speakers(sounds)
    return sounds


def listed(table: Path) -> list[Sound]:
    """The sounds of a manifest, or of a table with the columns path (from its folder), speaker and split.

    Raises InputError.
    """
    if not table.is_file():
        raise InputError(f"{table}: no such file. Give a manifest.tsv, or the folder of the recordings")
    with open_table(table) as opened:
        ours = opened.columns == list(COLUMNS)
    if ours:
        return [Sound(row.id, row.audio, row.speaker, row.split) for row in read_manifest(table)]
    sounds = []
    for line, row in read_table(table, ("path", "speaker", "split"), "\t"):
        if row["split"] not in SPLITS:
            raise InputError(f"{table}, line {line}: split is {row['split']!r}; it must be one of {', '.join(SPLITS)}")
        sounds.append(Sound(row["path"], table.parent / row["path"], row["speaker"], row["split"]))
    return sounds


def _speaker(name: Path, rule: str, folder: Path) -> str:
    if re.fullmatch(r"-?\d+", rule):
        # The folder itself counts where the files lie right in it.
        folders = name.parent.parts or (folder.resolve().name,)
        try:
            return folders[int(rule)]
        except IndexError as error:
            raise InputError(
                f"{folder / name}: --speaker {rule} asks for a folder that is not on its path below {folder}"
            ) from error
    found = re.search(rule, name.as_posix())
    if found is None or not found.groups():
        raise InputError(f"{folder / name}: the expression --speaker {rule!r} finds no group in {name.as_posix()}")
    return found.group(1)


def _split(name: Path, speaker: str, rule: str, shares: tuple[float, ...], folder: Path) -> str:
    if rule in SPLITS:
        return rule
    if rule == "hash":
        return hashed_split(speaker, shares)
    split = folder_split(name.parts[0]) if len(name.parts) > 1 else None
    if split is None:
        raise wrong_layout(folder, f"folders named after splits (train..., dev..., test...) above {name}")
    return split


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser)
    parser.add_argument("--speaker", default="-1", metavar="N|REGEX", help="where the speaker's name is (default: -1)")
    parser.add_argument("--split", choices=RULES, default="hash", help="default: hash")
    add_shares(parser)


def _run(options: argparse.Namespace) -> int:
    try:
        re.compile(options.speaker)
    except re.error as error:
        raise UsageError(f"--speaker {options.speaker!r} is no number and no regular expression: {error}") from error
    sounds = list_speech(options.source, options.speaker, options.split, options.shares)
    return len(make_manifest(sounds, options.out, engine_of(options)))


main = command(__doc__ or "", "speech_folder", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
