"""A list of references and estimates: a tab-separated file with a row for each source.

Columns: mixture (its name), source (name), reference (file), estimate (file, or empty where there is none) and, if you
like, audio (the mixture's file; otherwise it is the sum of the references), label (the source's class) and dry (the
source without any room, for every row of a mixture or for none). Paths are relative to the list's folder.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from avsep.errors import InputError
from avsep.evaluation.files import TrialFiles, trial_files
from avsep.storage.documents import read_text

COLUMNS = ("mixture", "source", "reference", "estimate")


def is_pair_list(path: Path) -> bool:
    """Whether the first line is that of a list of references and estimates. Raises InputError for a file that cannot
    be read."""
    return {"reference", "estimate"} <= set(_lines(path)[0].split("\t"))


def read_pairs(path: Path, *, sample_rate: int | None = None, limit: int | None = None) -> list[TrialFiles]:
    """A trial for each mixture of the list, in its order, the estimates named like their references. Raises InputError
    that names the row; and as `trial_files`."""
    lines = _lines(path)
    reader = csv.DictReader(lines, delimiter="\t")
    absent = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if absent:
        raise InputError(
            f"{path}: has no column {absent[0]!r} in its first line. Expected {', '.join(COLUMNS)} and perhaps audio, "
            "separated by tabs"
        )
    mixtures: dict[str, list[dict[str, str]]] = {}
    for number, row in enumerate(_rows(path, reader), 2):
        if not row["mixture"] or not row["source"] or not row["reference"]:
            raise InputError(f"{path}, row {number}: mixture, source and reference must not be empty")
        rows = mixtures.setdefault(row["mixture"], [])
        if any(other["source"] == row["source"] for other in rows):
            raise InputError(f"{path}, row {number}: source {row['source']!r} of {row['mixture']} is there twice")
        rows.append(row)
    if not mixtures:
        raise InputError(f"{path}: has no row below its first line. Write one for each source")
    trials = []
    for name, rows in list(mixtures.items())[:limit]:
        audio = next((row["audio"] for row in rows if row.get("audio")), None)
        dry = {row["source"]: path.parent / row["dry"] for row in rows if row.get("dry")}
        if dry and len(dry) < len(rows):
            raise InputError(
                f"{path}, mixture {name}: dry is empty in some of its rows. Fill it in all of them, or none"
            )
        try:
            trial = trial_files(
                name,
                {row["source"]: path.parent / row["reference"] for row in rows},
                {row["source"]: path.parent / row["estimate"] for row in rows if row["estimate"]},
                path.parent / audio if audio else None,
                sample_rate=sample_rate,
                dry=dry,
            )
        except InputError as error:
            raise InputError(f"{path}, mixture {name}: {error}") from error
        trials.append(replace(trial, reference_labels=tuple(row.get("label") or "" for row in rows)))
    return trials


def _rows(path: Path, reader: csv.DictReader) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise InputError(f"{path}, row {reader.line_num}: {error}. Correct or remove it") from error


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder. Give a folder of references, or a list")
    try:
        lines = read_text(path, "utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a tab-separated list ({error}). Give a folder or a list"
        ) from error
    if not lines:
        raise InputError(f"{path}: is empty. Expected a list with the columns {', '.join(COLUMNS)}, separated by tabs")
    return lines
