"""The separator of TDCN++ (Kavalerov et al., Universal sound separation, 2019): the temporal convolutional network of
Conv-TasNet with feature-wise norms, scaled blocks and skips between repeats; conditioned on an embedding (Tzinis et
al., 2020) where there is one."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.conditioning import Combine, Conditioning, Sigmoid
from avsep.models.parts.layers import InstanceNorm, PointwiseConv, PReLU
from avsep.models.separators.conv_tasnet import conv_body

Conditioned = Literal["first", "all"]

DECAY = 0.9
"""Block n begins with a scale of 0.9^n, so that the first blocks learn first."""


class ScaledBlock(nn.Module):
    """A block of Conv-TasNet whose part of the residual sum has a learned scale, given the embedding where it is
    conditioned.

    The first 1x1 convolution has no scale: the norm that follows would undo it.
    """

    def __init__(
        self, bottleneck: int, hidden: int, kernel: int, dilation: int, scale: float, conditioning: Conditioning | None
    ) -> None:
        super().__init__()
        self.conditioning = conditioning
        width = bottleneck if conditioning is None else conditioning.width
        self.body = conv_body(width, hidden, kernel, dilation, InstanceNorm)
        self.out = PointwiseConv(hidden, bottleneck)
        self.scale = nn.Parameter(torch.full((), scale))

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        """(batch, frames, bottleneck), (batch, embedding frames, classes) -> (batch, frames, bottleneck)."""
        given = x
        if self.conditioning is not None:
            assert embedding is not None
            given = self.conditioning(x, embedding)
        return x + self.scale * self.out(self.body(given))


class DilatedConvNet(Part):
    """Features to masks, by `repeats` times `blocks` with dilations 1, 2, 4, ...

    A repeat is given the inputs of all repeats before it, each through a 1x1 convolution, besides what the last one
    gives. features: channels of what comes in. filters: coefficients of a frame that get a mask.

    classes: of the embedding; 0 for none. channels, sigmoid, combine: see `Conditioning`. conditioned: the "first"
    block or "all", each with its own.
    """

    def __init__(
        self,
        features: int,
        filters: int,
        bottleneck: int,
        hidden: int,
        kernel: int,
        blocks: int,
        repeats: int,
        sources: int,
        classes: int = 0,
        channels: int = 128,
        sigmoid: Sigmoid = "fixed",
        combine: Combine = "concatenate",
        conditioned: Conditioned = "first",
    ) -> None:
        super().__init__()
        if conditioned not in get_args(Conditioned):
            raise ValueError(f"conditioned is {conditioned!r}; it must be one of {', '.join(get_args(Conditioned))}")
        check_whole(1, MOST_SIZE, features=features, filters=filters, bottleneck=bottleneck, hidden=hidden)
        check_whole(1, 16, blocks=blocks)
        # The last block then reaches over at most 2^16 frames.
        check_whole(1, 2 ** (17 - blocks), kernel=kernel)
        check_whole(1, 100, repeats=repeats)
        check_whole(0, MOST_SIZE, classes=classes)
        self.filters, self.sources = filters, sources

        def block(number: int) -> ScaledBlock:
            is_given = classes > 0 and (conditioned == "all" or number == 0)
            conditioning = Conditioning(classes, bottleneck, channels, sigmoid, combine) if is_given else None
            return ScaledBlock(bottleneck, hidden, kernel, 2 ** (number % blocks), DECAY**number, conditioning)

        self.enter = nn.Sequential(InstanceNorm(features), PointwiseConv(features, bottleneck))
        self.repeats = nn.ModuleList(
            nn.ModuleList(block(first + i) for i in range(blocks)) for first in range(0, repeats * blocks, blocks)
        )
        self.skips = nn.ModuleList(
            nn.ModuleList(PointwiseConv(bottleneck, bottleneck) for _ in range(earlier)) for earlier in range(repeats)
        )
        self.to_masks = nn.Sequential(PReLU(), PointwiseConv(bottleneck, sources * filters), nn.Sigmoid())

    def activations(self, features: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Features (batch, frames, features), logits (batch, embedding frames, classes) -> (batch, frames,
        bottleneck)."""
        x = self.enter(features)
        inputs: list[Tensor] = []
        for number, skips in enumerate(self.skips):
            for skip, earlier in zip(skips.children(), inputs, strict=True):
                x = x + skip(earlier)
            inputs.append(x)
            for block in self.repeats[number].children():
                x = block(x, embedding)
        return x

    def masks(self, activations: Tensor) -> Tensor:
        """(batch, frames, bottleneck) -> (batch, sources, frames, filters) in 0..1."""
        return self.to_masks(activations).unflatten(2, (self.sources, self.filters)).transpose(1, 2)

    def forward(self, features: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Features and logits as in `activations` -> masks (batch, sources, frames, filters) in 0..1."""
        return self.masks(self.activations(features, embedding))
