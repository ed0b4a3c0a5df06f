"""Whose weights a file or folder holds, found by its tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from avsep.errors import UsageError, WeightsError
from avsep.importing import (
    asteroid,
    jusperlee_av_conv_tasnet,
    jusperlee_conv_tasnet,
    jusperlee_dual_path_rnn,
    open_unmix,
    speechbrain,
    torchaudio,
)
from avsep.importing.read import Parts, read_parts
from avsep.models.base import SeparationModel


class Origin(Protocol):
    """A module of this package. NAME: of the project and the architecture. WANTED: what it reads, in words."""

    NAME: str
    WANTED: str

    @staticmethod
    def recognises(parts: Parts) -> bool:
        """Whether these are weights of this origin."""
        ...

    @staticmethod
    def convert(parts: Parts, **settings: Any) -> SeparationModel:
        """The model with these weights. settings: by name, what the weights do not say. Raises WeightsError."""
        ...


ORIGINS: tuple[Any, ...] = (
    torchaudio,
    asteroid,
    speechbrain,
    open_unmix,
    jusperlee_conv_tasnet,
    jusperlee_dual_path_rnn,
    jusperlee_av_conv_tasnet,
)


@dataclass(frozen=True)
class Imported:
    """A model ready for use, and whose it was."""

    model: SeparationModel
    origin: str


def read_published(source: Path, settings: Mapping[str, Any] | None = None) -> Imported:
    """The model of a checkpoint, or of a folder of them. settings: what the files do not say, such as sample_rate.

    Raises WeightsError for files of no known origin, UsageError for settings that the origin does not have.
    """
    parts = read_parts(source)
    for origin in ORIGINS:
        if origin.recognises(parts):
            model = origin.convert(parts, **_checked(settings or {}, origin))
            return Imported(model.eval(), origin.NAME)
    wanted = "; ".join(origin.WANTED for origin in ORIGINS)
    raise WeightsError(f"{source} holds no weights that are known. Known are: {wanted}.")


def _checked(settings: Mapping[str, Any], origin: Any) -> dict[str, Any]:
    """Settings that the origin has, of the type that it has."""
    known = dict(list(inspect.signature(origin.convert).parameters.items())[1:])
    for name, value in settings.items():
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise UsageError(f"{name} is no setting of {origin.NAME}; it has {allowed}")
        usual = known[name].default
        if type(value) is not type(usual) and not (type(usual) is float and type(value) is int):
            raise UsageError(f"{name} is {value!r}; it must be of the kind of {usual!r}")
    return dict(settings)
