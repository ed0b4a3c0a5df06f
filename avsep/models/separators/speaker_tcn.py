"""A temporal convolutional network that a speaker's embedding steers (Xu et al., SpEx, 2020, section II-A)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import EPS, GlobalLayerNorm, PointwiseConv
from avsep.models.separators.conv_tasnet import ConvBlock, conv_body


class SteeredBlock(nn.Module):
    """A block of Conv-TasNet that is given the embedding beside every frame."""

    def __init__(self, bottleneck: int, hidden: int, kernel: int, embedding: int) -> None:
        super().__init__()
        self.body = conv_body(bottleneck + embedding, hidden, kernel, 1, GlobalLayerNorm)
        self.out = PointwiseConv(hidden, bottleneck)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, frames, bottleneck), (batch, embedding) -> (batch, frames, bottleneck)."""
        beside = embedding.unsqueeze(1).expand(-1, x.shape[1], -1)
        return x + self.out(self.body(torch.cat([x, beside], dim=2)))


class SpeakerTCN(Part):
    """Features to masks, by `repeats` times `blocks` with dilations 1, 2, 4, ...; the first of each repeat is given the
    embedding. outputs: coefficients of a frame that get a mask."""

    def __init__(
        self,
        features: int,
        outputs: int,
        bottleneck: int,
        hidden: int,
        kernel: int,
        blocks: int,
        repeats: int,
        embedding: int,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, features=features, outputs=outputs, bottleneck=bottleneck, hidden=hidden)
        check_whole(1, MOST_SIZE, embedding=embedding)
        check_whole(1, 16, blocks=blocks)
        # The last block then reaches over at most 2^16 frames.
        check_whole(1, 2 ** (17 - blocks), kernel=kernel)
        check_whole(1, 100, repeats=repeats)
        self.enter = nn.Sequential(nn.LayerNorm(features, eps=EPS), PointwiseConv(features, bottleneck))
        self.steered = nn.ModuleList(SteeredBlock(bottleneck, hidden, kernel, embedding) for _ in range(repeats))
        self.plain = nn.ModuleList(
            nn.ModuleList(ConvBlock(bottleneck, hidden, 0, kernel, 2**n, "gLN", False) for n in range(1, blocks))
            for _ in range(repeats)
        )
        self.to_masks = nn.Sequential(PointwiseConv(bottleneck, outputs), nn.ReLU())

    def forward(self, features: Tensor, embedding: Tensor) -> Tensor:
        """(batch, frames, features), (batch, sources, embedding) -> masks (batch, sources, frames, outputs) of 0 or
        more."""
        sources = embedding.shape[1]
        x, given = self.enter(features).repeat_interleave(sources, 0), embedding.flatten(0, 1)
        for steered, plain in zip(self.steered, self.plain, strict=True):
            x = steered(x, given)
            for block in plain.children():
                x, _ = block(x)
        return self.to_masks(x).unflatten(0, (-1, sources))
