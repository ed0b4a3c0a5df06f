"""The masks of SepFormer: transformers within chunks of frames and across them (Subakan et al., 2021, section 2.2).

Layers and their order are those of SpeechBrain's weights for it (see `avsep.importing.speechbrain`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.dprnn import DualPath, chunked, evened
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.gated_head import GatedHead
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv

EPS = 1e-6
"""Of the layer norms within a transformer."""


def positions(steps: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of the step, of wavelengths from 2 pi to 10000 * 2 pi steps, in turn (Vaswani et al., 2017):
    (steps, width), of the device and type of another tensor. width: even."""
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000) / width))
    phases = torch.arange(steps, device=like.device).unsqueeze(1) * rates
    return torch.stack([phases.sin(), phases.cos()], 2).flatten(1).to(like.dtype)


class Transformer(nn.Module):
    """Layers of self-attention with the norm first, of sequences to which their positions are added, and a norm."""

    def __init__(self, width: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, hidden, dropout, batch_first=True, norm_first=True, layer_norm_eps=EPS
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(sequences, steps, width) -> the same shape."""
        x = x + positions(x.shape[1], x.shape[2], x)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class DualPathTransformerBlock(DualPath):
    """`DualPath` of transformers."""

    def __init__(self, width: int, layers: int, heads: int, hidden: int, dropout: float) -> None:
        sizes = width, layers, heads, hidden, dropout
        super().__init__(Transformer(*sizes), Transformer(*sizes), width)


class DualPathTransformer(Part):
    """Encoder frames to masks of 0 or more, by `blocks` dual-path blocks over chunks of `chunk` frames that overlap by
    half.

    width: channels between the encoder's frames and the masks, even and a multiple of heads. layers: of each of the two
    transformers of a block, heads and hidden units each.
    """

    def __init__(
        self,
        filters: int,
        width: int,
        chunk: int,
        blocks: int,
        layers: int,
        heads: int,
        hidden: int,
        sources: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters, width=width, hidden=hidden, heads=heads)
        check_whole(2, 10_000, chunk=chunk)
        check_whole(1, 64, blocks=blocks, layers=layers, sources=sources)
        if chunk % 2:
            raise ValueError(f"chunk is {chunk}; it must be even")
        if width % 2 or width % heads:
            raise ValueError(f"width is {width} with {heads} heads; it must be even and a multiple of them")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must be at least 0 and below 1")
        self.filters, self.width, self.chunk, self.sources = filters, width, chunk, sources
        self.norm = GlobalLayerNorm(filters)
        self.enter = PointwiseConv(filters, width, bias=False)
        self.blocks = nn.ModuleList(
            DualPathTransformerBlock(width, layers, heads, hidden, dropout) for _ in range(blocks)
        )
        self.head = GatedHead(width, filters, sources)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, filters) -> masks (batch, sources, frames, filters)."""
        count = frames.shape[1]
        x = self.enter(self.norm(frames))
        x = chunked(evened(x, self.chunk), self.chunk)
        for block in self.blocks:
            x = block(x)
        return self.head(x, count).relu()
