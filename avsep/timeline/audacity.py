"""Labels of Audacity: start, end and name, with tabs between them."""

from __future__ import annotations

from pathlib import Path

from avsep.timeline.base import TimeLine


def write_labels(line: TimeLine, path: Path) -> None:
    """A region label for each stretch of speech and for each span that is not to be trusted, in order of time."""
    labels = sorted([*((span, lane.name) for span, lane in line.turns), *line.doubts])
    rows = [f"{span.start:.6f}\t{span.end:.6f}\t{name}\n" for span, name in labels]
    path.write_text("".join(rows), encoding="utf-8", newline="\n")
