"""Mouths and sound of LRS2-BBC (Afouras, Chung, Senior, Vinyals, Zisserman 2018): television, cut into sentences.

    python -m preprocessing.lrs2 LRS2 OUT_FOLDER

LRS2 is the folder that holds mvlrs_v1/ (or that folder itself) with pretrain/PROGRAMME/NNNNN.mp4 and
main/PROGRAMME/NNNNN.mp4, the transcripts beside them in NNNNN.txt. The lists train.txt, val.txt and test.txt, which are
published beside the corpus and lie in LRS2, in mvlrs_v1/ or in --lists, say which clips of main are split train, dev
and test; pretrain is split train (all of it without a pretrain.txt). The corpus does not tell who speaks: the
programme stands for the speaker.

OUT_FOLDER gets manifest.tsv, and for each clip the mouth (ID.npz), the sound (ID.flac) and the transcript (ID.txt);
skipped.tsv tells what gave nothing, and why. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from avsep.errors import InputError
from preprocessing.corpus import wrong_layout
from preprocessing.faces_corpus import Clip, add_parts, faces_command, find_folder, transcript

PARTS = ("pretrain", "main")

LISTS = (
    ("pretrain", "pretrain", "train"),
    ("train", "main", "train"),
    ("val", "main", "dev"),
    ("test", "main", "test"),
)
"""Name of a list, the part it speaks of, and our name of the split."""


def list_lrs2(corpus: Path, parts: Sequence[str] = PARTS, lists: Path | None = None) -> Iterator[Clip]:
    """The clips of LRS2, in the order of its lists. Raises InputError when the folder is not laid out like it."""
    expected = f"mvlrs_v1/ of LRS2 with the folders {', '.join(parts)} in it (--parts names fewer)"
    folder = find_folder(corpus, parts, expected, "mvlrs_v1")
    places = [lists] if lists is not None else [corpus, folder, folder.parent]
    for name, part, split in LISTS:
        if part not in parts:
            continue
        file = next((p / f"{name}.txt" for p in places if (p / f"{name}.txt").is_file()), None)
        if file is not None:
            names = _read_list(file)
        elif part == "pretrain":
            names = [f"{p.parent.name}/{p.stem}" for p in sorted((folder / part).glob("*/*.mp4"))]
        else:
            raise InputError(
                f"{corpus}: no {name}.txt of LRS2 in {' or '.join(str(p) for p in dict.fromkeys(places))}. The lists"
                " are published beside the corpus; say where they are with --lists"
            )
        if not names:
            raise wrong_layout(folder / part, "PROGRAMME/NNNNN.mp4 as in LRS2")
        for programme, number in (name.split("/") for name in names):
            video = folder / part / programme / f"{number}.mp4"
            yield Clip(f"{part}/{programme}/{number}", video, programme, split, text=transcript(video))


def _read_list(file: Path) -> list[str]:
    """The names PROGRAMME/NNNNN of a list; the test list has a remark behind each."""
    names = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        name = line.split()[0]
        if name.count("/") != 1:
            raise InputError(f"{file}, line {number}: {line!r} is not PROGRAMME/NNNNN as in the lists of LRS2")
        names.append(name)
    return names


def _configure(parser: argparse.ArgumentParser) -> None:
    add_parts(parser, PARTS)
    parser.add_argument("--lists", type=Path, metavar="FOLDER", help="where train.txt, val.txt and test.txt are")


main = faces_command(__doc__ or "", "lrs2", lambda o: list_lrs2(o.corpus, o.parts, o.lists), _configure)

if __name__ == "__main__":
    sys.exit(main())
