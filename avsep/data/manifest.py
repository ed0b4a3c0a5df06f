"""The list of a corpus that training reads: one row an utterance or clip, made by preprocessing/."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from avsep.errors import InputError
from avsep.storage.files import path_from, write_lines
from avsep.storage.listed_files import ListedFiles
from avsep.storage.tables import Table, number_in, open_table


class Utterance(NamedTuple):
    """One voice, with or without its face.

    id: unique in the corpus. audio: sound file (any rate and channels that soundfile reads). lips: .npz of
    preprocessing/extract_lips.py, or None. face: .npy of a FaceNet embedding (512,), or None. speaker: who speaks;
    the name of the class for sounds that are no speech. split: "train", "dev" or "test". seconds: length of the sound.
    """

    id: str
    audio: Path
    lips: Path | None
    face: Path | None
    speaker: str
    split: str
    seconds: float


COLUMNS = Utterance._fields
SPLITS = ("train", "dev", "test")
MOST_SECONDS = 1e8
"""Three years: of a sound, and of a place in one."""


def write_manifest(path: Path, rows: Iterable[Utterance]) -> None:
    """Write tab-separated rows, paths relative to the manifest's folder; whole or not at all."""
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        paths = ("" if p is None else path_from(path.parent, p) for p in (row.audio, row.lips, row.face))
        lines.append("\t".join((row.id, *paths, row.speaker, row.split, f"{row.seconds:.3f}")))
    write_lines(path, lines)


def read_manifest(path: Path | str, split: str | None = None, speakers: Sequence[str] | None = None) -> list[Utterance]:
    """The rows of a manifest (of one split, of some speakers), paths made absolute.

    Raises InputError that names file, row and column for a missing manifest or column, text that is no UTF-8, an
    unknown split, a length that is no number of seconds and a file that is gone.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such manifest. The modules of preprocessing/ write them (python -m preprocessing.NAME)"
        )
    rows = []
    with open_table(path) as table:
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)}; a manifest has {', '.join(COLUMNS)}")
        pick = itemgetter(*map(table.columns.index, COLUMNS))
        find = ListedFiles(path.parent).find
        with _no_collections():
            for row in table.rows():
                found = _utterance(table, find, *pick(row))
                if split in (None, found.split) and (speakers is None or found.speaker in speakers):
                    rows.append(found)
    return rows


@contextmanager
def _no_collections() -> Iterator[None]:
    """A million rows hold no cycles, but the collector would go through all of them again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _utterance(
    table: Table,
    find: Callable[[str], Path | None],
    name: str,
    audio: str,
    lips: str,
    face: str,
    speaker: str,
    split: str,
    seconds: str,
) -> Utterance:
    if split not in SPLITS:
        raise InputError(f"{table.where}: split is {split!r:.100}; it must be one of {', '.join(SPLITS)}")
    try:
        length = float(seconds)
    except ValueError:
        length = math.nan
    if not 0 <= length <= MOST_SECONDS:
        length = number_in(seconds, table.where, "seconds", 0, MOST_SECONDS)
    if not audio:
        raise InputError(f"{table.where}: audio is empty; every row needs a sound file")
    if (sound := find(audio)) is None:
        raise _gone(table, "audio", audio)
    if (mouth := find(lips) if lips else None) is None and lips:
        raise _gone(table, "lips", lips)
    if (look := find(face) if face else None) is None and face:
        raise _gone(table, "face", face)
    return Utterance(name, sound, mouth, look, speaker, split, length)


def _gone(table: Table, column: str, name: str) -> InputError:
    return InputError(
        f"{table.where}: {column} is {table.path.parent / name}, which is not there. Make the corpus again, or remove "
        "the row"
    )
