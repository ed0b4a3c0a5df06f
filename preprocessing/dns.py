"""The DNS Challenge: clean speech, noise and room impulse responses, a manifest each.

    python -m preprocessing.dns DNS-Challenge/datasets OUT_FOLDER
    python -m preprocessing.dns datasets_fullband OUT_FOLDER

The folder holds clean/, noise/ and impulse_responses/ (clean_fullband/, noise_fullband/ in the later editions), each
with sound files on any depth; OUT_FOLDER/speech, /noise and /rooms get a manifest.tsv and a skipped.tsv. Of the three
folders, those that are there are read.

The speaker is the reader's number in the name of the file (..._reader_06709_...), or else the file's folder; a room's
name is that of its folder. The corpus has no splits of its own: speakers, recordings of noise and rooms fall into
train, dev and test by a hash of their names, in the shares of --shares.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path

from avsep.jobs.options import engine_of
from preprocessing.command import command
from preprocessing.corpus import Sound, add_folders, add_shares, find_sounds, hashed_split, make_manifest, wrong_layout


def speaker_of(name: Path) -> str:
    """Who reads a file of the clean speech, by its path below clean/."""
    reader = re.search(r"reader_(\d+)", name.name)
    return f"reader_{reader.group(1)}" if reader else name.parent.name or name.stem


def recording_of(name: Path) -> str:
    """The recording that a piece of noise was cut from: door_Freesound_validated_382032_2 -> ..._382032."""
    return re.sub(r"_\d$", "", name.stem)


def room_of(name: Path) -> str:
    """The folder of an impulse response; several positions of one room lie in one."""
    return "/".join(name.parent.parts) or name.stem


KINDS: dict[str, tuple[tuple[str, ...], Callable[[Path], str], Callable[[Path], str]]] = {
    # name: folders it may lie in, what the manifest calls the speaker, what must not be split
    "speech": (("clean", "clean_fullband"), speaker_of, speaker_of),
    "noise": (("noise", "noise_fullband"), lambda name: "noise", recording_of),
    "rooms": (("impulse_responses",), room_of, room_of),
}


def list_sounds(folder: Path, kind: str, shares: tuple[float, ...]) -> list[Sound]:
    """The files of one kind (see KINDS); none where its folder is not there."""
    folders, speaker, group = KINDS[kind]
    sounds = []
    for root in (folder / name for name in folders):
        for file in find_sounds(root) if root.is_dir() else ():
            name = file.relative_to(root)
            sounds.append(Sound(str(name), file, speaker(name), hashed_split(group(name), shares)))
    return sounds


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "DATASETS")
    add_shares(parser)


def _run(options: argparse.Namespace) -> int:
    found = {kind: list_sounds(options.source, kind, options.shares) for kind in KINDS}
    if not any(found.values()):
        raise wrong_layout(options.source, "folders clean, noise and impulse_responses with sound files")
    made = [
        len(make_manifest(sounds, options.out / kind, engine_of(options))) for kind, sounds in found.items() if sounds
    ]
    return sum(made)


main = command(__doc__ or "", "dns", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
