"""What the Conv-TasNets of several projects have in common: how their blocks become those of `ConvTasNet`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.read import State, fitted
from avsep.models.conv_tasnet import ConvTasNet

Names = Mapping[str, str]


def with_weights(model: ConvTasNet, outer: State, blocks: list[dict[str, Tensor]], source: str) -> ConvTasNet:
    """A model with the tensors of an encoder, a decoder and what is around the blocks, under the names here, and of the
    blocks one behind the other: body.N.* under the names here, and the 1x1 convolutions `residual` and `skip`, of which
    the last block's residual, which goes nowhere, may be missing."""
    repeats = model.separator.repeats_after
    each = len(repeats[0].blocks)
    if len(blocks) != each * len(repeats):
        raise WeightsError(f"{source} has {len(blocks)} blocks; expected {len(repeats)} times {each}.")
    weights = dict(outer)
    for number, block in enumerate(blocks):
        place = f"separator.repeats_after.{number // each}.blocks.{number % each}"
        for name, tensor in block.items():
            if name.startswith("body."):
                # Taps before channels.
                weights[f"{place}.{name}"] = tensor.squeeze(1).t() if name == "body.3.weight" else tensor
        for kind in ("weight", "bias"):
            skip = block.get(f"skip.{kind}")
            residual = block.get(f"residual.{kind}")
            if residual is None:
                assert skip is not None
                bottleneck = model.separator.repeats_after[0].blocks[0].bottleneck
                residual = skip.new_zeros(bottleneck, *skip.shape[1:])
            weights[f"{place}.out.{kind}"] = residual if skip is None else torch.cat([residual, skip])
    load_weights(model, fitted(weights, model.state_dict()), source)
    return model
