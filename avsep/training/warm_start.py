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

    Repeats of a temporal convolutional network are counted through, wherever lips join. A tensor of another shape keeps
    its random start; but of masks that are named as a part of their own, those of the first sources are taken. Raises
    WeightsError where a whole part finds nothing.
    """
    own = model.state_dict()
    taken: list[str] = []
    for origin in origins:
        trained = load_model(origin.weights)[0].state_dict()
        for theirs, ours in origin.parts.items():
            source, target = _part(trained, theirs), _part(own, ours)
            cut = ours.endswith("to_masks")
            fitting = [key for key in target if key in source and _fits(source[key][1], target[key][1], cut)]
            if not fitting:
                raise WeightsError(
                    f"nothing of {theirs!r} in {origin.weights} fits {ours!r} of {model.class_path}. "
                    "Name modules of the same kind and size (avsep models NAME shows how it was built)."
                )
            for key in fitting:
                (name, own_tensor), (_, learnt) = target[key], source[key]
                common = tuple(slice(min(sizes)) for sizes in zip(own_tensor.shape, learnt.shape, strict=True))
                own_tensor[common].copy_(learnt[common])
                taken.append(name)
    return taken


def _fits(theirs: Tensor, ours: Tensor, cut: bool) -> bool:
    """Whether a tensor, or with `cut` its first rows, may be copied."""
    return theirs.shape == ours.shape or (cut and theirs.shape[1:] == ours.shape[1:])


def _part(state: Mapping[str, Tensor], name: str) -> dict[str, tuple[str, Tensor]]:
    """Tensors of one module by a name that does not depend on where the repeats are divided: (own name, tensor)."""
    inside = {
        key.removeprefix(f"{name}."): (key, tensor) for key, tensor in state.items() if key.startswith(f"{name}.")
    }
    before = {match[1] for key in inside if (match := re.match(r"repeats_before\.(\d+)\.", key))}

    def counted(match: re.Match[str]) -> str:
        return f"repeats.{int(match[2]) + (len(before) if match[1] == 'after' else 0)}."

    return {re.sub(r"^repeats_(before|after)\.(\d+)\.", counted, key): value for key, value in inside.items()}
