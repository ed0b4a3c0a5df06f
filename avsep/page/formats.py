"""Further formats of a result, as `avsep timeline` makes them. The one place where the page meets that command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def formats() -> list[str]:
    """Names of the formats that can be made here; none where the time lines are not installed."""
    try:
        from avsep import timeline
    except ImportError:
        return []
    return list(getattr(timeline, "FORMATS", ()))


def make(folder: Path, names: Sequence[str]) -> None:
    """Write formats into a result, listed in its manifest. Raises AvsepError."""
    from avsep import timeline

    timeline.write_formats(folder, names)
