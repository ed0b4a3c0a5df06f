"""labels.tsv, the classes of the sources in a folder of references: a tab-separated list with a row for each."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

from avsep.errors import InputError
from avsep.storage.tables import open_table

LABELS = "labels.tsv"
COLUMNS = ("mixture", "source", "label")


def read_labels(path: Path, sources: Mapping[str, Container[str]]) -> dict[tuple[str, str], str]:
    """(mixture, source) -> class. sources: that there are, by mixture.

    Raises InputError that names the row for a list of other columns, and for a mixture or source that is not there.
    """
    with open_table(path) as table:
        if absent := [column for column in COLUMNS if column not in table.columns]:
            raise InputError(
                f"{path}: has no column {absent[0]!r} in its first line. Expected {', '.join(COLUMNS)}, separated by "
                "tabs"
            )
        found = {}
        for row in table.dicts():
            if row["source"] not in sources.get(row["mixture"], ()):
                raise InputError(
                    f"{table.where}: there is no source {row['source']!r} of mixture {row['mixture']!r} beside "
                    "the list. Correct the names, without the files' ending, or remove the row"
                )
            found[row["mixture"], row["source"]] = row["label"]
    return found
