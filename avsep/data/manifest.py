"""The list of a corpus that training reads: one row an utterance or clip, made by preprocessing/."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from avsep.errors import InputError
from avsep.storage.files import path_from, write_lines


@dataclass(frozen=True)
class Utterance:
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


COLUMNS = tuple(field.name for field in fields(Utterance))
SPLITS = ("train", "dev", "test")


def write_manifest(path: Path, rows: Iterable[Utterance]) -> None:
    """Write tab-separated rows, paths relative to the manifest's folder; whole or not at all."""
    lines = ["\t".join(COLUMNS)]
    for row in rows:
        paths = ("" if p is None else path_from(path.parent, p) for p in (row.audio, row.lips, row.face))
        lines.append("\t".join((row.id, *paths, row.speaker, row.split, f"{row.seconds:.3f}")))
    write_lines(path, lines)


def read_manifest(path: Path | str, split: str | None = None, speakers: Sequence[str] | None = None) -> list[Utterance]:
    """The rows of a manifest (of one split, of some speakers), paths made absolute.

    Raises InputError that names file, row and column for a missing manifest or column, an unknown split, a length that
    is no number and a file that is gone.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such manifest. The modules of preprocessing/ write them (python -m preprocessing.NAME)"
        )
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}: no column {', '.join(missing)}; a manifest has {', '.join(COLUMNS)}")
        rows = [_utterance(path, number, row) for number, row in enumerate(reader, 2)]
    return [row for row in rows if split in (None, row.split) and (speakers is None or row.speaker in speakers)]


def _utterance(path: Path, number: int, row: dict[str, str]) -> Utterance:
    where = f"{path}, line {number}"
    if None in row or None in row.values():
        raise InputError(f"{where}: not {len(COLUMNS)} columns. They are {', '.join(COLUMNS)}, tab-separated")
    if row["split"] not in SPLITS:
        raise InputError(f"{where}: split is {row['split']!r}; it must be one of {', '.join(SPLITS)}")
    try:
        seconds = float(row["seconds"])
    except ValueError as error:
        raise InputError(f"{where}: seconds is {row['seconds']!r}; it must be a number") from error
    files = {name: path.parent / row[name] if row[name] else None for name in ("audio", "lips", "face")}
    for name, file in files.items():
        if file is not None and not file.is_file():
            raise InputError(f"{where}: {name} is {file}, which is not there. Make the corpus again, or remove the row")
    if files["audio"] is None:
        raise InputError(f"{where}: audio is empty; every row needs a sound file")
    return Utterance(row["id"], files["audio"], files["lips"], files["face"], row["speaker"], row["split"], seconds)
