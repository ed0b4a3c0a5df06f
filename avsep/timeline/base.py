"""What all formats tell of a result: its tracks with their names, who speaks when, the picture."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import category

from avsep.errors import InputError
from avsep.results.result import Doubt, Result, Span
from avsep.safe_text import one_line

if TYPE_CHECKING:
    from avsep.signals import ProgressHook  # at run time it would bring numpy, and help must be instant
    from avsep.timeline.picture import Picture


class Colour(NamedTuple):
    """name: as OpenTimelineIO has it. red, green, blue: 0 to 255."""

    name: str
    red: int
    green: int
    blue: int


COLOURS = (
    Colour("CYAN", 42, 157, 193),
    Colour("ORANGE", 230, 126, 34),
    Colour("GREEN", 76, 160, 80),
    Colour("PURPLE", 142, 88, 182),
    Colour("RED", 206, 66, 66),
    Colour("YELLOW", 212, 172, 13),
    Colour("BLUE", 58, 96, 199),
    Colour("PINK", 222, 112, 161),
)
"""Of the tracks, in turn."""

RESIDUAL_COLOUR = Colour("WHITE", 150, 150, 150)
DOUBT_COLOUR = Colour("MAGENTA", 230, 0, 126)
"""Of spans that are not to be trusted."""


class Lane(NamedTuple):
    """A track as an editor shows it, or the residual. id: of the track. name: one line, which no other lane has.
    speaking: None where nobody speaks in it. doubtful: spans that are not to be trusted."""

    id: str
    kind: str
    name: str
    audio: Path
    speaking: tuple[Span, ...] | None
    colour: Colour
    doubtful: tuple[Doubt, ...] = ()


class Cue(NamedTuple):
    """What somebody says from one second to another; "" where only that he speaks is known."""

    start: float
    end: float
    name: str
    text: str = ""


@dataclass(eq=False)
class TimeLine:
    """A result with all that its formats need. Times are in seconds from the first audio sample that was separated.

    captions: what is said, in order of time; None where nobody wrote it down. warn: told what is left out.
    """

    result: Result
    warn: Callable[[str], None]
    progress: ProgressHook
    captions: tuple[Cue, ...] | None = None

    @property
    def title(self) -> str:
        """The clip's name without its ending."""
        return in_one_line(self.result.clip.stem) or "clip"

    @property
    def seconds(self) -> float:
        return self.result.seconds

    @cached_property
    def lanes(self) -> tuple[Lane, ...]:
        """The tracks, and then the residual: together they are the input's sound."""
        tracks, residual = self.result.tracks, self.result.residual
        ids = [in_one_line(track.id) for track in tracks]
        names = [in_one_line(track.name) or own for own, track in zip(ids, tracks, strict=True)]
        count = Counter([*names, "residual"])
        lanes = [
            Lane(
                own,
                track.kind,
                name if count[name] == 1 else f"{name} ({own})",
                track.audio,
                track.speaking,
                COLOURS[number % len(COLOURS)],
                track.doubtful,
            )
            for number, (own, track, name) in enumerate(zip(ids, tracks, names, strict=True))
        ]
        if residual is not None:
            lanes.append(Lane("residual", "residual", "residual", residual, None, RESIDUAL_COLOUR))
        return tuple(lanes)

    @property
    def voices(self) -> list[Lane]:
        """The lanes of people and voices."""
        return [lane for lane in self.lanes if lane.speaking is not None]

    @property
    def turns(self) -> list[tuple[Span, Lane]]:
        """Who speaks when, in order of time; where two speak at once there are two."""
        turns = [(span, lane) for lane in self.voices for span in lane.speaking or () if span.start < span.end]
        return sorted(turns, key=lambda turn: turn[0])

    @property
    def doubts(self) -> list[tuple[Span, str]]:
        """What is not to be trusted where, in order of time: the lane and why, in words."""
        doubts = [
            (Span(one.start, one.end), f"{lane.name}? {in_one_line(one.reason)}")
            for lane in self.lanes
            for one in lane.doubtful
        ]
        return sorted(doubts)

    @cached_property
    def picture(self) -> Picture | None:
        """What shows the picture; None where there is none. Raises InputError where it cannot be read."""
        from avsep.timeline.picture import find_picture

        return find_picture(self.result, self.warn)

    def check_sounds(self) -> None:
        """Raise InputError where the sound of a lane is missing or damaged."""
        import soundfile

        for lane in self.lanes:
            try:
                with lane.audio.open("rb"):
                    pass
                soundfile.info(os.fsencode(lane.audio))
            except (OSError, ValueError, soundfile.SoundFileError) as error:
                why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({one_line(error)})"
                raise InputError(f"{lane.audio}: {why}. Separate the clip again with --overwrite") from error


def in_one_line(text: str) -> str:
    """A text without breaks of lines, in which each control character and half character becomes U+FFFD. Marks of
    writing direction and joiners stay, as scripts need them."""
    return "".join("\ufffd" if category(each) in ("Cc", "Cs") else each for each in " ".join(text.split()))
