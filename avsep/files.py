"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file under a hidden name and give it its own name at the end: all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers choose the format by it.
    partial = file.with_name(f".{os.getpid()}.partial.{file.name}")
    try:
        write(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_lines(file: Path, lines: Sequence[str]) -> None:
    """A text file, all or nothing."""
    write_whole(file, lambda partial: partial.write_text("\n".join(lines) + "\n", encoding="utf-8"))
