"""The files beside the clip that a result depends on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.checkpoint import find_weights
from avsep.media.unchanged import sha256

if TYPE_CHECKING:
    from avsep.modes.base import Options


def files_asked(options: Options, model: str | None) -> dict[str, Path]:
    """Weights that are asked for, recordings, pictures, turns and positions, by the names that they are given. Raises
    WeightsError for an unknown model."""
    weights = {name: find_weights(name) for name in (model, options.residual) if name}
    named = (options.turns, options.array, *options.enroll.values(), *options.target.values())
    return weights | {str(name): Path(name) for name in named if name and Path(name).is_file()}


def checksums(options: Options, model: str | None) -> dict[str, str]:
    """SHA-256 of each of `files_asked` that can be read."""
    found: dict[str, str] = {}
    for name, file in files_asked(options, model).items():
        with suppress(OSError):  # whoever needs it tells what is wrong with it
            found[name] = sha256(file)
    return found
