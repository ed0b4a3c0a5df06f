"""Mouths and sound of LRS3-TED (Afouras, Chung, Zisserman 2018): talks, cut into sentences by face.

    python -m preprocessing.lrs3 LRS3 OUT_FOLDER --unpack

LRS3 is the folder that holds pretrain/, trainval/ and test/, each with TALK/NNNNN.mp4 and the transcripts beside them
in NNNNN.txt, or the archives they come in, which --unpack unpacks there. test is split test. The corpus has no
validation set: the talks in --dev-share of pretrain and trainval, chosen by a hash of their names so that none is in
both, are split dev, the others train. The speaker is the talk.

OUT_FOLDER gets manifest.tsv, and for each clip the mouth (ID.npz), the sound (ID.flac) and the transcript (ID.txt);
skipped.tsv tells what gave nothing, and why. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from preprocessing.corpus import wrong_layout
from preprocessing.faces_corpus import (
    DEV_SHARE,
    Clip,
    add_dev_share,
    add_parts,
    faces_command,
    find_folder,
    train_or_dev,
    transcript,
)

PARTS = ("pretrain", "trainval", "test")


def list_lrs3(corpus: Path, parts: Sequence[str] = PARTS, dev_share: float = DEV_SHARE) -> Iterator[Clip]:
    """The clips of LRS3. Raises InputError when the folder is not laid out like it."""
    expected = f"the folders {', '.join(parts)} of LRS3 with TALK/NNNNN.mp4 in them"
    folder = find_folder(corpus, parts, expected + " (--parts names fewer)")
    for part in parts:
        videos = sorted((folder / part).glob("*/*.mp4"))
        if not videos:
            raise wrong_layout(folder / part, "TALK/NNNNN.mp4 as in LRS3")
        for video in videos:
            talk = video.parent.name
            split = "test" if part == "test" else train_or_dev(talk, dev_share)
            yield Clip(f"{part}/{talk}/{video.stem}", video, talk, split, text=transcript(video))


def _configure(parser: argparse.ArgumentParser) -> None:
    add_parts(parser, PARTS)
    add_dev_share(parser)


main = faces_command(__doc__ or "", "lrs3", lambda o: list_lrs3(o.corpus, o.parts, o.dev_share), _configure)

if __name__ == "__main__":
    sys.exit(main())
