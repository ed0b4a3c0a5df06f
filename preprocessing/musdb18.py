"""MUSDB18 (train/NAME.stem.mp4) and MUSDB18-HQ (train/NAME/vocals.wav, ...): the stems of songs.

    python -m preprocessing.musdb18 musdb18 OUT_FOLDER

OUT_FOLDER/stems/manifest.tsv has a row for every stem, its class (drums, bass, other, vocals) in the place of the
speaker and PART/SONG/STEM as its id, which the cast avsep.data.casts.Stems reads; train.tsv, dev.tsv and test.tsv a
mixture for every song: the sum of its four stems. The WAV files of MUSDB18-HQ are referred to where they are; the stems
of an mp4 are decoded to OUT_FOLDER/stems/audio with their rate and channels. The 14 songs that the corpus recommends
for validation are dev, the rest of train/ is train.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsep.data.lists import Part
from avsep.jobs.options import engine_of
from preprocessing.command import command
from preprocessing.corpus import Sound, add_folders, make_manifest, wrong_layout
from preprocessing.mixture_lists import Mix, make_lists

STEMS = ("drums", "bass", "other", "vocals")
"""In the order of an mp4's audio streams, the first of which, number 0, is the mixture."""

VALIDATION = frozenset(
    (
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "ANiMAL - Rockshow",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    )
)

_MP4 = ".stem.mp4"


def list_stems(folder: Path) -> list[Sound]:
    """Four sounds a song, in the order of STEMS. Raises InputError for a wrong layout."""
    sounds = []
    for part in ("train", "test"):
        for path in sorted((folder / part).iterdir()) if (folder / part).is_dir() else ():
            if path.name.startswith("."):
                continue
            song = path.name.removesuffix(_MP4)
            split = "dev" if part == "train" and song in VALIDATION else part
            if path.name.endswith(_MP4):
                sounds += [Sound(f"{part}/{song}/{stem}", path, stem, split, n) for n, stem in enumerate(STEMS, 1)]
            elif path.is_dir():
                sounds += [Sound(f"{part}/{song}/{stem}", path / f"{stem}.wav", stem, split) for stem in STEMS]
    if not sounds:
        raise wrong_layout(folder, "train/ and test/ with NAME.stem.mp4, or with NAME/drums.wav, bass.wav, ...")
    return sounds


def songs(sounds: list[Sound], files: dict[str, Path]) -> list[Mix]:
    """A mixture a song; `files` maps the id of a stem to its readable file, a stem that has none keeps its place."""
    mixes = []
    for start in range(0, len(sounds), len(STEMS)):
        stems = sounds[start : start + len(STEMS)]
        parts = (
            Part(files.get(s.id, s.file.parent / f"{s.speaker}.wav"), None, s.speaker, "voice", 0.0, 1.0) for s in stems
        )
        mixes.append(Mix(str(Path(stems[0].id).parent), stems[0].split, tuple(parts)))
    return mixes


def _run(options: argparse.Namespace) -> int:
    sounds = list_stems(options.source)
    rows = make_manifest(sounds, options.out / "stems", engine_of(options), native=True)
    return make_lists(songs(sounds, {row.id: row.audio for row in rows}), options.out, engine_of(options))


main = command(__doc__ or "", "musdb18", lambda parser: add_folders(parser, "MUSDB18"), _run)

if __name__ == "__main__":
    sys.exit(main())
