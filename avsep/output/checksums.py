"""The files beside the clip that a result depends on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.checkpoint import find_weights
from avsep.errors import WeightsError
from avsep.media.unchanged import sha256
from avsep.people.library import INDEX

if TYPE_CHECKING:
    from avsep.modes.base import Options


def files_named(options: Options) -> dict[str, Path]:
    """Recordings, pictures, turns, positions and the people library that the options name, by these names; those that
    are there."""
    named = [options.turns, options.array, *options.enroll.values(), *options.target.values()]
    if options.people and not options.learn:  # what a run learns does not make its own results old
        named.append(str(Path(options.people, INDEX)))
    return {str(name): Path(name) for name in named if name and Path(name).is_file()}


def checksums(options: Options, model: str | None) -> dict[str, str]:
    """SHA-256 of the weights that are asked for, and of `files_named`, by their names. Whoever needs one that cannot be
    read tells what is wrong with it."""
    files = files_named(options)
    for name in filter(None, (model, options.residual)):
        with suppress(WeightsError):  # a model that is in no file
            files[name] = find_weights(name)
    found: dict[str, str] = {}
    for name, file in files.items():
        with suppress(OSError):
            found[name] = sha256(file)
    return found
