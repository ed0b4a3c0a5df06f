"""Mouths and sound of LRW (Chung, Zisserman 2016): 500 words from television, 1.16 s each.

    python -m preprocessing.lrw LRW OUT_FOLDER

LRW is the folder that holds lipread_mp4/ (or that folder itself) with WORD/train/WORD_NNNNN.mp4 and the same below
WORD/val and WORD/test, which are split train, dev and test; what the corpus tells of a clip lies beside it in
WORD_NNNNN.txt. The corpus does not tell who speaks: every clip counts as a speaker of its own.

OUT_FOLDER gets manifest.tsv, and for each clip the mouth (ID.npz), the sound (ID.flac) and its description (ID.txt);
skipped.tsv tells what gave nothing, and why. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from preprocessing.corpus import wrong_layout
from preprocessing.faces_corpus import Clip, faces_command, transcript

SPLITS = {"train": "train", "val": "dev", "test": "test"}
"""LRW's names of the splits, and ours."""


def list_lrw(corpus: Path) -> Iterator[Clip]:
    """The clips of LRW. Raises InputError when the folder is not laid out like it."""
    folder = corpus / "lipread_mp4" if (corpus / "lipread_mp4").is_dir() else corpus
    found = [(video, SPLITS.get(video.parent.name)) for video in sorted(folder.glob("*/*/*.mp4"))]
    if not any(split for _, split in found):
        raise wrong_layout(corpus, f"lipread_mp4/ of LRW with WORD/{{{','.join(SPLITS)}}}/WORD_NNNNN.mp4 in it")
    for video, split in found:
        if split is not None:
            name = video.relative_to(folder).with_suffix("").as_posix()
            yield Clip(name, video, name, split, text=transcript(video))


main = faces_command(__doc__ or "", "lrw", lambda options: list_lrw(options.corpus))

if __name__ == "__main__":
    sys.exit(main())
