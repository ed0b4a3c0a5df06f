"""Mouths and sound of GRID (Cooke, Barker, Cunningham, Shao 2006): 34 speakers, 1000 short sentences each.

    python -m preprocessing.grid GRID OUT_FOLDER

GRID is the folder that holds s1/ to s34/ with the .mpg files, right in them or deeper (s1/video/mpg_6000/). Alignment
files (.align) of the same name below s1/ or a folder of that name are kept beside the sound. The corpus names no
splits: --test and --dev name speakers. By default those are the four unseen speakers of LipNet (Assael et al. 2016) and
one man and one woman more; all others are split train. A video that is in no folder sN, but right in GRID, counts as
a speaker of its own, called like the file.

OUT_FOLDER gets manifest.tsv, and for each clip the mouth (ID.npz) and the sound (ID.flac); skipped.tsv tells what gave
nothing, and why. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from preprocessing.corpus import wrong_layout
from preprocessing.faces_corpus import Clip, add_speaker_splits, faces_command, split_speakers

TEST = ("s1", "s2", "s20", "s22")
DEV = ("s3", "s4")


def list_grid(corpus: Path, dev: Sequence[str] = DEV, test: Sequence[str] = TEST) -> Iterator[Clip]:
    """The clips of GRID. Raises InputError when the folder is not laid out like it."""
    videos = [(file.relative_to(corpus), file) for file in sorted(corpus.rglob("*.mpg"))]
    speakers = {name: speaker for name, _ in videos if (speaker := _speaker(name)) is not None}
    if not speakers:
        raise wrong_layout(corpus, "the folders s1 to s34 of GRID with .mpg files in them")
    splits = split_speakers(corpus, speakers.values(), dev, test, optional=(*DEV, *TEST))
    aligned = {(_speaker(f.relative_to(corpus)), f.stem): f for f in sorted(corpus.rglob("*.align"))}
    for name, file in videos:
        if name in speakers:
            who = speakers[name]
            text = aligned.get((who, file.stem))
            yield Clip(name.with_suffix("").as_posix(), file, who, splits[who], text=text)


def _speaker(name: Path) -> str | None:
    """sN of a path below the corpus, the name of a file right in it, None for another folder's files."""
    folder = next((part for part in name.parts[:-1] if re.fullmatch(r"s\d+", part)), None)
    return folder or (name.stem if len(name.parts) == 1 else None)


main = faces_command(
    __doc__ or "",
    "grid",
    lambda options: list_grid(options.corpus, options.dev, options.test),
    partial(add_speaker_splits, dev=DEV, test=TEST),
)

if __name__ == "__main__":
    sys.exit(main())
