"""Labels of Audacity: start, end and name, with tabs between them."""

from __future__ import annotations

from pathlib import Path

from avsep.timeline.base import TimeLine


def write_labels(line: TimeLine, path: Path) -> None:
    """A region label for each stretch of speech, in order of time."""
    rows = [f"{span.start:.6f}\t{span.end:.6f}\t{lane.name}\n" for span, lane in line.turns]
    path.write_text("".join(rows), encoding="utf-8", newline="\n")
