"""Lists as text: a table for a terminal, and a block of lines for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from avsep.safe_text import safe_lines, safe_text

RIGHT = ("parameters",)
"""Columns of numbers."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], whole: int = 1) -> str:
    """As wide as the terminal; the first `whole` columns are not wrapped."""
    from io import StringIO

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(header):
        made.add_column(name, no_wrap=number < whole, justify="right" if name in RIGHT else "left")
    for row in rows:
        made.add_row(*(Text(safe_text(cell)) for cell in row))
    console = Console(file=StringIO(), width=Console().width)
    console.print(made)
    return console.file.getvalue().rstrip()  # type: ignore[attr-defined]


def block(name: str, entries: Mapping[str, Any]) -> str:
    """The name, then a line for each entry that is not empty, and those within it."""
    return safe_lines([name, *(line for key, value in entries.items() for line in _entry(key, value, "  "))])


def _entry(key: str, value: Any, indent: str) -> list[str]:
    key = key.replace("_", " ")
    if value in (None, "", [], {}):
        return []
    if isinstance(value, Mapping):
        return [f"{indent}{key}", *(line for k, v in value.items() for line in _entry(str(k), v, indent + "  "))]
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    return [f"{indent}{key:12} {value}"]
