"""Begin a training with parts of trained models: the ear of one, the eyes of another."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from avsep.checkpoint import load_model
from avsep.errors import WeightsError
from avsep.models.base import Model


@dataclass
class StartFrom:
    """weights: bundled name or weights file. parts: names of its modules -> names of this model's modules."""

    weights: str
    parts: dict[str, str]


def start(model: Model, origins: Sequence[StartFrom]) -> list[str]:
    """Copy what fits into `model` and return the names of the tensors that were set.

    Repeats of a temporal convolutional network are counted through, wherever lips join. A tensor of another shape (the
    masks of another number of sources) keeps its random start. Raises WeightsError where a whole part finds nothing.
    """
    own = model.state_dict()
    taken: list[str] = []
    for origin in origins:
        trained = load_model(origin.weights)[0].state_dict()
        for theirs, ours in origin.parts.items():
            source, target = _part(trained, theirs), _part(own, ours)
            fitting = [key for key in target if key in source and source[key][1].shape == target[key][1].shape]
            if not fitting:
                raise WeightsError(
                    f"nothing of {theirs!r} in {origin.weights} fits {ours!r} of {model.class_path}. "
                    "Name modules of the same kind and size (avsep models NAME shows how it was built)."
                )
            for key in fitting:
                target[key][1].copy_(source[key][1])
                taken.append(target[key][0])
    return taken


def _part(state: Mapping[str, Tensor], name: str) -> dict[str, tuple[str, Tensor]]:
    """Tensors of one module by a name that does not depend on where the repeats are divided: (own name, tensor)."""
    inside = {
        key.removeprefix(f"{name}."): (key, tensor) for key, tensor in state.items() if key.startswith(f"{name}.")
    }
    before = {match[1] for key in inside if (match := re.match(r"repeats_before\.(\d+)\.", key))}

    def counted(match: re.Match[str]) -> str:
        return f"repeats.{int(match[2]) + (len(before) if match[1] == 'after' else 0)}."

    return {re.sub(r"^repeats_(before|after)\.(\d+)\.", counted, key): value for key, value in inside.items()}
