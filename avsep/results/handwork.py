"""What people did to a result, which is lost when the clip is separated again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from avsep.errors import AvsepError, InputError
from avsep.results.result import Result, ResultTrack, read_result


def handwork(folder: Path) -> str:
    """Names that were given by hand and the number of changes, in words; "" where there are none, or no result."""
    try:
        result = read_result(folder)
    except InputError:
        return ""
    by_options = _names_by_options(result)
    names = [
        f"{track.label} ({track.id})"
        for track in result.tracks
        if track.is_voice and track.label and track.label not in {*by_options, _known_as(track)}
    ]
    listed = result.manifest.get("changes")
    changes = len(listed) if isinstance(listed, list) else 0
    told = [f"the name{'s' if names[1:] else ''} {', '.join(names)}"] if names else []
    if changes:
        told.append(f"{changes} change{'s' if changes > 1 else ''} of people or spans")
    return " and ".join(told)


def _names_by_options(result: Result) -> set[str]:
    """Names that --enroll, --target and --turns gave."""
    targets = _mapping(result.manifest.get("choice")).get("targets")
    names = {str(_mapping(one).get("label")) for one in targets} if isinstance(targets, list) else set()
    turns = _mapping(result.manifest.get("options")).get("turns")
    if isinstance(turns, str):
        from avsep.speech.turns import read_turns

        with suppress(AvsepError):  # gone or another one by now: all names are told
            names.update(read_turns(turns, result.clip.stem))
    return names


def _known_as(track: ResultTrack) -> object:
    """The name that the people library gave."""
    return _mapping(track.entry.get("identity")).get("name")


def _mapping(told: Any) -> Mapping[str, Any]:
    return told if isinstance(told, dict) else {}
