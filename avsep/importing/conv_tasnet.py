"""What the Conv-TasNets of several projects have in common: how their blocks become those of `ConvTasNet`."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.read import State, fitted
from avsep.models.masking import MaskingModel

Net = TypeVar("Net", bound=MaskingModel)


def with_weights(model: Net, outer: State, blocks: list[dict[str, Tensor]], source: str) -> Net:
    """A model of a `TemporalConvNet` with the tensors of all that is around the blocks, under the names here, and of
    the blocks one behind the other: body.N.* under the names here, and the 1x1 convolutions `residual` and `skip`, of
    which the last block's residual, which goes nowhere, may be missing."""
    parts = ("repeats_before", "repeats_after")
    places = [
        f"separator.{part}.{number}.blocks.{place}"
        for part in parts
        for number, repeat in enumerate(getattr(model.separator, part))
        for place in range(len(repeat.blocks))
    ]
    if len(blocks) != len(places):
        raise WeightsError(f"{source} has {len(blocks)} blocks; expected {len(places)}.")
    weights = dict(outer)
    for place, block in zip(places, blocks, strict=True):
        for name, tensor in block.items():
            if name.startswith("body."):
                # Taps before channels.
                weights[f"{place}.{name}"] = tensor.reshape(len(tensor), -1).t() if name == "body.3.weight" else tensor
        for kind in ("weight", "bias"):
            skip = block.get(f"skip.{kind}")
            residual = block.get(f"residual.{kind}")
            if residual is None:
                if skip is None:
                    continue
                bottleneck = model.separator.repeats_after[0].blocks[0].bottleneck
                residual = skip.new_zeros(bottleneck, *skip.shape[1:])
            weights[f"{place}.out.{kind}"] = residual if skip is None else torch.cat([residual, skip])
    load_weights(model, fitted(weights, model.state_dict()), source)
    return model
