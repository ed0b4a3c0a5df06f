"""FUSS: mixtures of one to four sounds of any kind, as fixed lists.

    python -m preprocessing.fuss ssdata OUT_FOLDER

The folder (ssdata, or ssdata_reverb) holds train_example_list.txt, validation_example_list.txt and
eval_example_list.txt, whose rows are the mixture and its sources, and the sounds they name: train/example00000.wav,
train/example00000_sources/background0_sound.wav, .... OUT_FOLDER/train.tsv, dev.tsv and test.tsv list the mixtures,
background and foreground sounds all being sources. skipped.tsv lists what could not be used, and why.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from avsep.data.lists import Part
from avsep.errors import InputError
from avsep.jobs.options import engine_of
from preprocessing.command import command
from preprocessing.corpus import add_folders, folder_split, read_lines, wrong_layout
from preprocessing.mixture_lists import Mix, make_lists

END = "_example_list.txt"


def list_examples(folder: Path) -> list[Mix]:
    """The mixtures of all lists in a folder. Raises InputError for a wrong layout or a row without a source."""
    tables = {path: folder_split(path.name.removesuffix(END)) for path in sorted(folder.glob(f"*{END}"))}
    if not any(tables.values()):
        raise wrong_layout(folder, f"train{END}, validation{END} and eval{END}")
    mixes = []
    for table, split in tables.items():
        for line, row in enumerate(read_lines(table) if split else (), 1):
            if not row.strip():
                continue
            mixture, *sources = row.rstrip().split("\t")
            if not sources:
                raise InputError(f"{table}, line {line}: no source after {mixture}; fields are separated by tabs")
            parts = [
                Part(folder / source, None, re.sub(r"_sound$", "", Path(source).stem), "voice", 0.0, 1.0)
                for source in sources
            ]
            mixes.append(Mix(Path(mixture).stem, str(split), tuple(parts)))
    return mixes


def _run(options: argparse.Namespace) -> int:
    return make_lists(list_examples(options.source), options.out, engine_of(options))


main = command(__doc__ or "", "fuss", lambda parser: add_folders(parser, "SSDATA"), _run)

if __name__ == "__main__":
    sys.exit(main())
