"""Tables as text, comma- or tab-separated, that somebody may have edited with a program of another mind."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avsep.errors import InputError


class Table:
    """An open table. columns: the names in its first line. `rows` may be gone through once."""

    def __init__(self, path: Path, reader: Iterator[list[str]]) -> None:
        self.path, self._reader = path, reader
        self.columns = next(reader, [])

    def rows(self) -> Iterator[list[str]]:
        """Rows as long as the first line, empty lines left out. Raises InputError with the line for another."""
        width = len(self.columns)
        for row in self._reader:
            if len(row) == width:
                yield row
            elif row:
                raise InputError(f"{self.where}: not {width} columns. They are {', '.join(self.columns)}")

    def dicts(self) -> Iterator[dict[str, str]]:
        """The same by column."""
        for row in self.rows():
            yield dict(zip(self.columns, row, strict=True))

    @property
    def line(self) -> int:
        """Number of the line that the last row ends in."""
        return self._reader.line_num  # type: ignore[attr-defined]

    @property
    def where(self) -> str:
        """File and line of the last row, for messages."""
        return f"{self.path}, line {self.line}"


@contextmanager
def open_table(path: Path, delimiter: str = "\t") -> Iterator[Table]:
    """A table in UTF-8, with or without the mark (BOM) that some programs put first. Tab-separated ones have no quotes.

    Raises InputError that names the line for text of another encoding and for a field that no row has room for, also
    while the rows are read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        if delimiter == "\t":
            reader = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        else:
            reader = csv.reader(file, delimiter=delimiter)
        try:
            yield Table(path, reader)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {reader.line_num + 1} or later: is no UTF-8 (byte 0x{error.object[error.start]:02x})."
                " Save the table as UTF-8"
            ) from error
        except csv.Error as error:
            raise InputError(f"{path}, line {reader.line_num}: {error}. Correct or remove the row") from error


def number_in(text: str, where: str, column: str, least: float, most: float) -> float:
    """A number of a table within bounds. Raises InputError with `where` and the column for anything else."""
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{where}: {column} is {text!r:.100}; it must be a number") from error
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {text:.100}; it must be finite")
    if not least <= value <= most:
        raise InputError(f"{where}: {column} is {text:.100}; it must be from {least:g} to {most:g}")
    return value
