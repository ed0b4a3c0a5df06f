"""Who speaks when as a file tells it: RTTM, the format of diarization (NIST, Rich Transcription 2009)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsep.errors import InputError, UsageError
from avsep.signals import FRAME_RATE
from avsep.storage.documents import read_text

FORM = "SPEAKER <recording> 1 <start> <duration> <NA> <NA> <name> <NA> <NA>"
FIELDS = 8
"""Of a line, as far as the name; what comes behind it is not read."""

OTHER_TYPES = (
    "SEGMENT", "LEXEME", "NON-LEX", "NON-SPEECH", "NOSCORE", "NO_RT_METADATA", "SPKR-INFO", "FILLER", "EDIT", "IP",
    "SU", "CB", "A/P",
)  # fmt: skip
"""Of lines, which tell of other things than turns."""


@dataclass(frozen=True)
class Turn:
    """One stretch of speech. recording: name of the recording it is of. start, end: in seconds on its clock."""

    recording: str
    name: str
    start: float
    end: float


def read_turns(path: Path | str, recording: str) -> dict[str, list[Turn]]:
    """The turns in an RTTM file by the speakers' names, in the order in which they speak first.

    recording: which is wanted where the file holds several; of a file about one recording all turns are given. Lines of
    other types than SPEAKER and comments (;;) are left out.

    Raises UsageError where there is no such file, InputError, with file and line, for what is not RTTM and where no
    turn is left.
    """
    path = Path(path)
    try:
        lines = read_text(path, "utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"--turns {path}: {error.strerror}. Give an RTTM file, lines such as {FORM}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 (byte {error.start}). Give an RTTM file") from error
    except ValueError as error:
        raise InputError(f"{path}: no RTTM file: {error}. Give lines such as {FORM}") from error
    turns = [_turn(f"{path}, line {n}", line.split()) for n, line in enumerate(lines, 1) if _is_turn(path, n, line)]
    recordings = list(dict.fromkeys(turn.recording for turn in turns))
    if not turns:
        raise InputError(f"{path}: no line begins with SPEAKER, so nobody speaks. Lines must be {FORM}")
    if len(recordings) > 1:
        if recording not in recordings:
            raise InputError(
                f"{path}: no turns of {recording!r}; it has those of {', '.join(recordings)}. Name the clip as one of "
                "them, or give a file about this recording alone"
            )
        turns = [turn for turn in turns if turn.recording == recording]
    found: dict[str, list[Turn]] = {}
    for turn in sorted(turns, key=lambda turn: turn.start):
        found.setdefault(turn.name, []).append(turn)
    return found


def speaking(turns: Sequence[Turn], pictures: int, start: float = 0.0) -> np.ndarray:
    """How much of each picture lies in one of the turns: (pictures,) float32 in 0..1 at FRAME_RATE.

    start: seconds on the turns' clock at which the first picture begins.
    """
    # Seconds are grid numbers here; sums of many small parts would not come to 1.
    edges = np.arange(pictures + 1) / FRAME_RATE + start
    covered = np.zeros(pictures)
    for turn in turns:
        within = np.minimum(edges[1:], turn.end) - np.maximum(edges[:-1], turn.start)
        covered = np.maximum(covered, within * FRAME_RATE)
    return covered.clip(0, 1).astype(np.float32)


def _is_turn(path: Path, number: int, line: str) -> bool:
    """Whether a line is about a turn; InputError for a line of no type that RTTM has."""
    kind = line.split(maxsplit=1)[0] if line.strip() else ";;"
    if kind == "SPEAKER":
        return True
    if kind.startswith(";;") or kind in OTHER_TYPES:
        return False
    raise InputError(
        f"{path}, line {number}: begins with {kind!r:.60}; a line of RTTM begins with SPEAKER, "
        f"{', '.join(OTHER_TYPES)} or ;;. Lines of turns must be {FORM}"
    )


def _turn(where: str, fields: Sequence[str]) -> Turn:
    if len(fields) < FIELDS:
        raise InputError(f"{where}: {len(fields)} fields, expected {FIELDS} or more: {FORM}")
    start, duration = (_seconds(where, name, fields[at]) for name, at in (("start", 3), ("duration", 4)))
    return Turn(fields[1], fields[7], start, start + duration)


def _seconds(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{where}: {name} is {text!r:.60}; it must be seconds, a number of 0 or more, as in {FORM}")
    return value
