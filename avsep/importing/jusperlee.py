"""What the checkpoints of github.com/JusperLee have in common: where their tensors lie, and how sizes follow from them.

Their trainers write a dict of model_state_dict, epoch and optim_state_dict; those with Lightning one with state_dict.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from avsep.errors import WeightsError
from avsep.importing.read import State, state_of

EPS = 1e-5
"""What norms of the Conv-TasNets add to a variance."""
ENDS = {".gamma": ".weight", ".beta": ".bias"}
"""Of norms in some of the code -> here."""


def tensors(content: Any) -> State:
    """By name; empty where there are none."""
    return state_of(content, "model_state_dict", "state_dict") or {}


def sizes(state: State, name: str, dims: int) -> tuple[int, ...]:
    """The shape of a tensor. Raises WeightsError where it is missing or has another number of dimensions."""
    if name not in state:
        raise WeightsError(f"it lacks {name}.")
    if state[name].dim() != dims:
        raise WeightsError(f"its {name} is {tuple(state[name].shape)}; {dims} dimensions can be read.")
    return tuple(state[name].shape)


def filter_bank(state: State, name: str) -> tuple[int, int, int]:
    """Filters, kernel and stride, which is half of a kernel there."""
    filters, _, kernel = sizes(state, name, 3)
    if kernel % 2:
        raise WeightsError(f"its filters are {kernel} samples long; an even number can be read.")
    return filters, kernel, kernel // 2


def sources(rows: int, filters: int) -> int:
    """Of the layer that gives the masks."""
    if rows % filters:
        raise WeightsError(f"it makes masks of {rows} rows for {filters} filters; a multiple can be read.")
    return rows // filters


def norm_of(state: State, place: str) -> str:
    """The name here of the norm at a place: gLN has weights (channels, 1), and cLN, which is over the channels of each
    frame by itself, (channels,)."""
    if f"{place}.running_mean" in state:
        raise WeightsError(f"its {place} is a batch norm; 'gln' and 'cln' can be read.")
    for end in ("weight", "gamma"):
        if f"{place}.{end}" in state:
            return "channel" if state[f"{place}.{end}"].dim() == 1 else "gLN"
    raise WeightsError(f"it lacks {place}.weight.")


def repeats(layers: int, blocks: int) -> int:
    """Of so many blocks each."""
    if blocks < 1 or layers % blocks:
        raise WeightsError(f"it has {layers} blocks, which are no stacks of {blocks}; set blocks.")
    return layers // blocks


def plain_ends(name: str) -> str:
    """A name that ends as it does here."""
    end = next((end for end in ENDS if name.endswith(end)), None)
    return name if end is None else name.removesuffix(end) + ENDS[end]


def without(state: State, start: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by what follows."""
    return {name[len(start) :]: tensor for name, tensor in state.items() if name.startswith(start)}


@contextmanager
def building(name: str) -> Iterator[None]:
    """Context in which a model is made of sizes that tensors and settings tell. Raises WeightsError."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        # torch says with the latter that shapes do not go together.
        raise WeightsError(f"{name}: the tensors and settings make no model: {error}.") from error
