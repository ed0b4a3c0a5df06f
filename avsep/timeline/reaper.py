"""A project of Reaper: the picture, and a track for each person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.storage.files import path_from
from avsep.timeline.base import DOUBT_COLOUR, Colour, Lane, TimeLine

if TYPE_CHECKING:
    from avsep.timeline.picture import Picture

Block = tuple[str, list["str | Block"]]
"""What stands between < and >: its first line, and those in it."""


def write_project(line: TimeLine, path: Path) -> None:
    """One item as long as the sound in a track for each lane, and a region for each stretch of speech in the colour of
    its track: regions are seen over all tracks and found by name, and items stay whole. So has each span that is not to
    be trusted."""
    inside: list[str | Block] = [f"SAMPLERATE {line.result.sample_rate} 1 0", "TEMPO 120 4 4"]
    regions = [(span, lane.name, lane.colour) for span, lane in line.turns]
    regions += [(span, why, DOUBT_COLOUR) for span, why in line.doubts]
    for number, (span, name, colour) in enumerate(regions, 1):
        inside.append(f"MARKER {number} {span.start:.6f} {quoted(name)} 1 {_colour(colour)} 1 R")
        inside.append(f'MARKER {number} {span.end:.6f} "" 1')
    if line.picture is not None:
        inside.append(_picture_track(line.picture, line.result.folder))
    inside += [_sound_track(lane, line.seconds) for lane in line.lanes]
    text = "\n".join(_lines(('REAPER_PROJECT 0.1 "7.0" 0', inside))) + "\n"
    # The name of a file keeps its bytes.
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


def quoted(text: str) -> str:
    """A text as Reaper reads it: in the first quotes that it does not hold. Of a text that holds all of them the back
    quotes become single ones, as Reaper itself writes it."""
    quote = next((each for each in "\"'`" if each not in text), None)
    return f"{quote}{text}{quote}" if quote else f"`{text.replace('`', chr(39))}`"


def _sound_track(lane: Lane, seconds: float) -> Block:
    item = _item(lane.name, 0.0, seconds, 0.0, "WAVE", lane.audio.name)
    return "TRACK", [f"NAME {quoted(lane.name)}", f"PEAKCOL {_colour(lane.colour)}", "VOLPAN 1 0 -1 -1 1", item]


def _picture_track(picture: Picture, folder: Path) -> Block:
    """Without its sound. Muted tracks show no picture, so the volume is 0."""
    begin = max(0.0, picture.start_seconds)
    file = path_from(folder, picture.file)
    item = _item("picture", begin, picture.end_seconds - begin, picture.zero_seconds + begin, "VIDEO", file)
    return "TRACK", ['NAME "picture"', "VOLPAN 0 0 -1 -1 1", item]


def _item(name: str, start: float, seconds: float, into_file: float, kind: str, file: str) -> Block:
    """into_file: second of the file with which it begins."""
    return "ITEM", [
        f"POSITION {start:.6f}",
        f"LENGTH {seconds:.6f}",
        "LOOP 0",
        f"NAME {quoted(name)}",
        f"SOFFS {into_file:.6f}",
        (f"SOURCE {kind}", [f"FILE {quoted(file)}"]),
    ]


def _colour(colour: Colour) -> int:
    """As Reaper keeps it; the highest bit says that there is one."""
    return 1 << 24 | colour.blue << 16 | colour.green << 8 | colour.red


def _lines(block: Block, indent: str = "") -> Iterator[str]:
    head, inside = block
    yield f"{indent}<{head}"
    for each in inside:
        yield from (f"{indent}  {each}",) if isinstance(each, str) else _lines(each, indent + "  ")
    yield f"{indent}>"
