"""Which sound is that of a microphone array, and where its microphones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from avsep.errors import InputError, UsageError
from avsep.storage.documents import read_json

if TYPE_CHECKING:
    import numpy as np

    from avsep.media.probe import AudioInfo

Channels = Literal["reference", "all"]
"""Of an array's, those that are written: that of the reference microphone, or all that are of use."""

MOST_MICROPHONES = 8
"""Of a sound that is taken for an array without being told."""

FARTHEST = 1000.0
"""In m from the origin: positions beyond are in another unit."""

_SURROUND = ("5.1", "7.1")
"""Beginnings of the names of layouts that are a film's loudspeakers."""


def is_array(audio: AudioInfo, asked: str) -> bool:
    """Whether the channels are microphones. asked: "auto", "off", or a file with positions, which says they are.

    By itself a sound of 3 to 8 channels is an array unless the container says 5.1 or 7.1. Raises UsageError where an
    array is asked for and there is one channel.
    """
    if asked == "off":
        return False
    if asked == "auto":
        return 3 <= audio.channels <= MOST_MICROPHONES and not audio.layout.startswith(_SURROUND)
    if audio.channels < 2:
        raise UsageError(f"--array {asked}: the sound has one channel, so there is no array. Leave --array out")
    return True


def read_positions(path: Path | str, channels: int) -> np.ndarray:
    """Microphones (channels, 3) in m, from a JSON file {"positions": [[x, y, z], ...]}, in the order of the channels.

    Raises UsageError where there is no such file, InputError where it says something else.
    """
    import numpy as np  # the commands name this module before anything heavy is imported

    path = Path(path)
    try:
        found = read_json(path)
    except OSError as error:
        raise UsageError(
            f"--array {path}: {error.strerror}. Give auto, off, or a JSON file with positions in metres"
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}. {_wanted(channels)}") from error
    rows = found.get("positions") if isinstance(found, dict) else None
    if not isinstance(rows, list):
        raise InputError(f'{path} has no list "positions". {_wanted(channels)}')
    if len(rows) != channels:
        raise InputError(f"{path} has {len(rows)} positions, and the sound {channels} channels. {_wanted(channels)}")
    for number, row in enumerate(rows):
        if not (isinstance(row, list) and len(row) == 3 and all(_is_place(value) for value in row)):
            raise InputError(
                f"{path}: position {number} is {json.dumps(row)}; it must be three numbers in metres, each within "
                f"{-FARTHEST:g} to {FARTHEST:g}. {_wanted(channels)}"
            )
    places = np.array(rows, float)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + np.eye(channels)
    first, second = np.unravel_index(int(apart.argmin()), apart.shape)
    if apart[first, second] == 0:
        raise InputError(f"{path}: positions {first} and {second} are the same. Give each microphone its own")
    return places


def _is_place(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= FARTHEST


def _wanted(channels: int) -> str:
    return f'Expected {{"positions": [[x, y, z], ...]}} with {channels} rows in metres'
