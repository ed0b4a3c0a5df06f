"""The architectures there are: every model under avsep.models, found by looking, with what it takes and gives."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

import avsep.models
from avsep.checkpoint import Card
from avsep.models.base import Contract, Model, SeparationModel
from avsep.models.build import today
from avsep.models.figures import Figures, read_figures


@dataclass(frozen=True)
class Architecture:
    """A class of models.

    parameters and contract: at the paper's size where it has one, else with its defaults; None where they follow from
    parts that are handed in, and no contract where it is no separator. published: what its paper reports. weights:
    names of the cards that were given and are of this class. figures: what systems of this class cost and reached.
    """

    name: str
    class_path: str
    paper: str
    year: int
    separates: bool
    parameters: int | None
    contract: Contract | None
    published: str
    weights: tuple[str, ...]
    figures: tuple[Figures, ...]


def list_architectures(cards: Sequence[Card] = ()) -> list[Architecture]:
    """All public separation models, and other models of a paper, by name."""
    figures = read_figures()
    return sorted((describe(found, cards, figures) for found in model_classes()), key=lambda one: one.name.lower())


def model_classes() -> Iterator[type[Model]]:
    """Those classes, each from the module that it is written in."""
    for info in pkgutil.walk_packages(avsep.models.__path__, f"{avsep.models.__name__}."):
        module = importlib.import_module(info.name)
        for name, found in vars(module).items():
            if not isinstance(found, type) or found.__module__ != info.name or name.startswith("_"):
                continue
            if issubclass(found, Model) and (found.paper or _separates(found)):
                yield found


def describe(found: type[Model], cards: Sequence[Card] = (), figures: Sequence[Figures] = ()) -> Architecture:
    """What there is to say of a class."""
    path = f"{found.__module__}.{found.__qualname__}"
    model = _built(found)
    contract = model.contract if isinstance(model, SeparationModel) else None
    parameters = None if model is None else model.parameter_count
    weights = tuple(card.name for card in cards if today(card.class_path).class_path == path)
    return Architecture(
        found.__name__,
        path,
        found.paper,
        found.year,
        _separates(found),
        parameters,
        contract,
        vars(found).get("published", ""),
        weights,
        tuple(one for one in figures if one.class_path == path),
    )


def _separates(found: type[Model]) -> bool:
    return issubclass(found, SeparationModel) and found is not SeparationModel


def _built(found: type[Model]) -> Model | None:
    """At the paper's size and without memory for its weights; None where it needs parts that are handed in."""
    try:
        inspect.signature(found).bind(**found.paper_args)
    except TypeError:
        return None
    try:
        with torch.device("meta"):
            return found(**found.paper_args)
    except (NotImplementedError, RuntimeError):
        # One that looks at its own numbers while it is built: those of "meta" are not there.
        return found(**found.paper_args)
