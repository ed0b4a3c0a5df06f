"""Begin a training with parts of trained models: the encoder of one, the lip encoder of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from avsep.checkpoint import load_model
from avsep.errors import WeightsError
from avsep.models.base import Model, Part, copy_fitting


@dataclass
class StartFrom:
    """weights: bundled name or weights file. parts: names of its modules -> names of this model's modules."""

    weights: str
    parts: dict[str, str]


def begin_with(model: Model, origins: Sequence[StartFrom]) -> list[str]:
    """Copy what fits into `model` and return the names of the tensors that were set.

    A tensor of another shape keeps its random start, unless the part says otherwise (see `Part.warm_start`). Raises
    WeightsError where a whole part finds nothing.
    """
    taken: list[str] = []
    for origin in origins:
        trained = load_model(origin.weights)[0]
        for theirs, ours in origin.parts.items():
            source, target = _module(trained, theirs), _module(model, ours)
            found: list[str] = []
            if source is not None and target is not None:
                found = (
                    target.warm_start(source) if isinstance(target, Part) else copy_fitting(target, source.state_dict())
                )
            if not found:
                raise WeightsError(
                    f"nothing of {theirs!r} in {origin.weights} fits {ours!r} of {model.class_path}. "
                    "Name modules of the same kind and size (avsep models NAME shows how it was built)."
                )
            taken += [f"{ours}.{name}" for name in found]
    return taken


def _module(model: Model, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None
