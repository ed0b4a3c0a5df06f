"""RTTM, the format of diarization (NIST, Rich Transcription 2009): a line for each stretch of speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avsep.timeline.base import Lane, TimeLine

_MISSING = {"na", "n/a", "nan", "null", "none"}
"""What readers of tables take for no name at all, whatever stands around it."""


def write_rttm(line: TimeLine, path: Path) -> None:
    """Lines of people and voices, in order of time; those of two who speak at once overlap."""
    names = _words(line.voices)
    recording = _word(line.title)
    rows = []
    for span, lane in line.turns:
        start, end = round(span.start, 3), round(span.end, 3)
        rows.append(f"SPEAKER {recording} 1 {start:.3f} {end - start:.3f} <NA> <NA> {names[lane.id]} <NA> <NA>\n")
    path.write_text("".join(rows), encoding="utf-8", newline="\n")


def _words(lanes: Sequence[Lane]) -> dict[str, str]:
    """Names without spaces by the ids of lanes, all of them different."""
    words = {lane.id: _word(lane.name) for lane in lanes}
    given = list(words.values())
    return {
        track: f"{word}_{_word(track)}" if given.count(word) > 1 or word.strip("#-<>").lower() in _MISSING else word
        for track, word in words.items()
    }


def _word(text: str) -> str:
    """A field: spaces become underscores and double quotes, within which readers see no end of a field, single ones."""
    return "_".join(text.split()).replace('"', "'")
