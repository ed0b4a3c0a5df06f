"""WebVTT and SRT: who speaks or, where somebody wrote it down, what is said."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from avsep.timeline.base import Cue, TimeLine


def write_vtt(line: TimeLine, path: Path) -> None:
    """WebVTT, each cue in a voice span. Without words a cue shows the name, as players show no voices."""
    cues = [
        f"\n{_times(cue, '.')}\n<v {_escaped(cue.name)}>{_escaped(cue.text or cue.name)}</v>\n" for cue in _cues(line)
    ]
    path.write_text("".join(["WEBVTT\n", *cues]), encoding="utf-8", newline="\n")


def write_srt(line: TimeLine, path: Path) -> None:
    """SRT, which has no field for the speaker: the name stands before the words."""
    cues = [f"{number}\n{_times(cue, ',')}\n{_said(cue)}\n" for number, cue in enumerate(_cues(line), 1)]
    path.write_text("\n".join(cues), encoding="utf-8", newline="\n")


def _said(cue: Cue) -> str:
    """In SRT an arrow would look like a line of times, and nothing can be escaped."""
    return f"{cue.name}: {cue.text or '…'}".replace("-->", "→")


def _cues(line: TimeLine) -> Sequence[Cue]:
    if line.captions is not None:
        return line.captions
    return [Cue(*span, lane.name) for span, lane in line.turns]


def _times(cue: Cue, point: str) -> str:
    start = round(cue.start * 1000)
    end = max(round(cue.end * 1000), start + 1)
    return f"{_time(start, point)} --> {_time(end, point)}"


def _time(milliseconds: int, point: str) -> str:
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
