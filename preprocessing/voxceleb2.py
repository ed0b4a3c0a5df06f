"""Mouths and sound of VoxCeleb2 (Chung, Nagrani, Zisserman 2018): interviews of celebrities in the wild.

    python -m preprocessing.voxceleb2 VOXCELEB2 OUT_FOLDER

VOXCELEB2 is the folder that holds dev/ and test/, each with the pictures in mp4/idNNNNN/VIDEO/NNNNN.mp4 and the sound
in aac/idNNNNN/VIDEO/NNNNN.m4a; where there is no .m4a the sound of the .mp4 is taken. test is split test. The corpus's
own dev is its training set: of its speakers --dev-share, chosen by a hash of their names, are split dev, the others
train. Both sets are known to be about one picture off sync.

OUT_FOLDER gets manifest.tsv, and for each clip the mouth (ID.npz) and the sound (ID.flac); skipped.tsv tells what gave
nothing, and why. A run that was stopped goes on where it was.
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
)

PARTS = ("dev", "test")


def list_voxceleb2(corpus: Path, parts: Sequence[str] = PARTS, dev_share: float = DEV_SHARE) -> Iterator[Clip]:
    """The clips of VoxCeleb2. Raises InputError when the folder is not laid out like it."""
    names = [f"{part}/mp4" for part in parts]
    folder = find_folder(corpus, names, f"the folders {', '.join(names)} of VoxCeleb2 (--parts names fewer)")
    for part in parts:
        videos = sorted((folder / part / "mp4").glob("id*/*/*.mp4"))
        if not videos:
            raise wrong_layout(folder / part / "mp4", "idNNNNN/VIDEO/NNNNN.mp4 as in VoxCeleb2")
        for video in videos:
            name = video.relative_to(folder / part / "mp4").with_suffix("")
            speaker = name.parts[0]
            sound = folder / part / "aac" / f"{name}.m4a"
            split = "test" if part == "test" else train_or_dev(speaker, dev_share)
            yield Clip(f"{part}/{name.as_posix()}", video, speaker, split, sound if sound.is_file() else None)


def _configure(parser: argparse.ArgumentParser) -> None:
    add_parts(parser, PARTS)
    add_dev_share(parser)


main = faces_command(__doc__ or "", "voxceleb2", lambda o: list_voxceleb2(o.corpus, o.parts, o.dev_share), _configure)

if __name__ == "__main__":
    sys.exit(main())
