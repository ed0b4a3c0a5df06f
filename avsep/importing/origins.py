"""Whose weights a file or folder holds, found by its tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from avsep.importing.read import Parts, numbers_in, read_parts
from avsep.models.base import SeparationModel
from avsep.models.limits import Limited
from avsep.safe_text import first_line


class Origin(Protocol):
    """A module of this package. NAME: of the project and the architecture. WANTED: what it reads, in words."""

    NAME: str
    WANTED: str

    @staticmethod
    def recognises(parts: Parts) -> bool:
        """Whether these are weights of this origin."""
        ...

    @staticmethod
    def says(parts: Parts) -> dict[str, str]:
        """licence and data, where the files say them; an origin whose files never do has no such function."""
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


SPARE, MOST_TENSORS = 50_000_000, 200_000
"""Numbers that a model may have beside those of the file: windows, bands, what is built and replaced."""


@dataclass(frozen=True)
class Imported:
    """A model ready for use, and whose it was. licence and data: what the file says of them, or nothing."""

    model: SeparationModel
    origin: str
    licence: str = ""
    data: str = ""


def read_published(source: Path, settings: Mapping[str, Any] | None = None) -> Imported:
    """The model of a checkpoint, or of a folder of them. settings: what the files do not say, such as sample_rate.

    Raises WeightsError for files of no known origin, UsageError for settings that the origin does not have.
    """
    parts = read_parts(source)
    for origin in ORIGINS:
        if origin.recognises(parts):
            model = _converted(origin, parts, source, _checked(settings or {}, origin))
            # All of them train with SI-SNR, which leaves gain and sign free; Open-Unmix gives masks.
            if model.contract.kind == "voice":
                model.contract = replace(model.contract, level="free")
            said = origin.says(parts) if hasattr(origin, "says") else {}
            return Imported(model.eval(), origin.NAME, **said)
    wanted = "; ".join(origin.WANTED for origin in ORIGINS)
    raise WeightsError(f"{source} holds no weights that are known. Known are: {wanted}.")


def _converted(origin: Any, parts: Parts, source: Path, settings: Mapping[str, Any]) -> SeparationModel:
    """In as much memory as the file's own numbers ask for. Raises WeightsError, or UsageError where there are settings
    that may be wrong."""
    try:
        # A model is built, and filled; some of its tensors are made of several others.
        with Limited(8 * sum(map(numbers_in, parts.values())) + SPARE, MOST_TENSORS):
            return origin.convert(parts, **settings)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        if settings:
            given = ", ".join(f"{name}={value}" for name, value in settings.items())
            raise UsageError(f"{source}: no model of {origin.NAME} with --set {given} ({reason:.300})") from error
        raise WeightsError(f"{source}: its tensors make no model of {origin.NAME} ({reason:.300}).") from error


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
