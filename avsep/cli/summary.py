"""What came of each clip of a run: summary.csv in the output folder, and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from avsep.cli import report
from avsep.cli.overall import clock
from avsep.errors import OutputError
from avsep.safe_text import safe_lines
from avsep.storage.files import write_whole

NAME = "summary.csv"

FAILED_SHOWN = 20
"""Failed clips that are named below the table; all are in the file."""

State = Literal["separated", "was there", "planned", "failed", "not reached"]
STATES: tuple[State, ...] = ("separated", "was there", "planned", "failed", "not reached")


@dataclass(frozen=True)
class Row:
    """A clip; the fields are the columns of summary.csv. reason: why it failed. people, voices, sounds: tracks by their
    kind, stems counting as sounds. seconds: of its audio. warnings: how many, those of the tracks too."""

    clip: str
    folder: str = ""
    state: State = "not reached"
    reason: str = ""
    mode: str = ""
    model: str = ""
    people: int | None = None
    voices: int | None = None
    sounds: int | None = None
    seconds: float | None = None
    processing_seconds: float | None = None
    real_time_factor: float | None = None
    warnings: int | None = None

    @staticmethod
    def of(clip: Path, folder: Path, state: State, manifest: Mapping[str, Any]) -> Row:
        kinds = [track["kind"] for track in manifest["tracks"]]
        timing = manifest.get("timing", {})
        return Row(
            str(clip),
            str(folder),
            state,
            mode=manifest["mode"],
            model=manifest["model"],
            people=kinds.count("person"),
            voices=kinds.count("voice"),
            sounds=kinds.count("sound") + kinds.count("stem"),
            seconds=manifest["input"]["duration_seconds"],
            processing_seconds=timing.get("total_seconds"),
            real_time_factor=timing.get("real_time_factor"),
            warnings=report.count_warnings(manifest),
        )


HEADER = ",".join(field.name for field in fields(Row))


def check_place(output: Path) -> None:
    """Raise OutputError where summary.csv would replace a file that avsep did not write."""
    file = output / NAME
    try:
        with file.open("rb") as stream:
            ours = stream.readline(len(HEADER) + 2).decode("utf-8", "replace").rstrip("\r\n") == HEADER
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(f"{file}: cannot be read ({error.strerror}). Choose another output folder with -o") from error
    if not ours:
        raise OutputError(
            f"{file}: was not written by avsep separate, and the summary of this run would replace it. Move it away,"
            " or choose another output folder with -o"
        )


def write(output: Path, rows: Iterable[Row]) -> Path:
    """Write summary.csv, all or nothing. Raises OutputError."""
    text, file = io.StringIO(), output / NAME
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER.split(","))
    writer.writerows([_cell(getattr(row, field.name)) for field in fields(Row)] for row in rows)
    # What a file name may hold beyond Unicode is written as an escape.
    data = text.getvalue().encode("utf-8", "backslashreplace")
    try:
        write_whole(file, lambda partial: partial.write_bytes(data))
    except OSError as error:
        raise OutputError(f"{file}: cannot be written ({error.strerror}). The results of the clips are kept") from error
    return file


def _cell(value: Any) -> Any:
    # A spreadsheet would take such a name of a file for a formula. With ./ before it, it is the same file.
    return f"./{value}" if isinstance(value, str) and value[:1] in tuple("=+-@") else value


def shown(rows: Sequence[Row]) -> str:
    """A table with a line for each state, and the clips that failed."""
    lines = [_line(state, of_state) for state in STATES if (of_state := [row for row in rows if row.state == state])]
    if len(lines) > 1:
        lines.append(_line("all", rows))
    cells = [("", "clips", "length", "processing", "real-time factor", "people", "voices", "warnings"), *lines]
    first, *others = (max(map(len, column)) for column in zip(*cells, strict=True))
    made = ["  ".join([line[0].ljust(first), *map(str.rjust, line[1:], others)]) for line in cells]
    failed = [row for row in rows if row.state == "failed"]
    named = [f"failed: {row.reason}" for row in failed[:FAILED_SHOWN]]
    if len(failed) > FAILED_SHOWN:
        named.append(f"and {len(failed) - FAILED_SHOWN} more that failed")
    return safe_lines([*map(str.rstrip, made), *named])


def _line(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """A line of the table. Time is that of the clips that have any, so that what failed does not look fast."""
    timed = [row for row in rows if row.processing_seconds is not None]
    media = sum(row.seconds or 0.0 for row in timed)
    taken = sum(row.processing_seconds or 0.0 for row in timed)
    known = [row.seconds for row in rows if row.seconds is not None]
    found = [row for row in rows if row.people is not None]
    return (
        name,
        str(len(rows)),
        clock(sum(known)) if known else "",
        clock(taken) if timed else "",
        f"{taken / media:.2f}" if media else "",
        str(sum(row.people or 0 for row in found)) if found else "",
        str(sum(row.voices or 0 for row in found)) if found else "",
        str(sum(row.warnings or 0 for row in found)) if found else "",
    )
