"""The masks of SuDoRM-RF: blocks that go down through time scales and up again (Tzinis, Wang and Smaragdis, 2020), and
of its later form SuDoRM-RF++ (Tzinis et al., 2021).

Letters of the paper: C_E filters of the encoder, C channels between the blocks, B blocks, Q time scales.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv, PReLU
from avsep.models.parts.strided import StridedDepthwiseConv, stretched


class ChannelPReLU(nn.PReLU):
    """PReLU with a slope for each channel: (batch, frames, channels) -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class TimeScales(nn.Module):
    """Depth-wise convolutions that halve the frames one behind the other, and the sum of what all of them give.

    (batch, frames, channels) -> the same shape.
    """

    def __init__(self, channels: int, scales: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(StridedDepthwiseConv(channels, 5, 1 if n == 0 else 2) for n in range(scales))
        self.norms = nn.ModuleList(GlobalLayerNorm(channels) for _ in range(scales))

    def forward(self, x: Tensor) -> Tensor:
        made = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x))
            made.append(x)
        for _, finer in pairwise(reversed(made)):
            x = finer + stretched(x, finer.shape[1])
        return x


class UBlock(nn.Module):
    """More channels, several time scales, the channels again, and a residual (section 2.2.1).

    (batch, frames, channels) -> the same shape.
    """

    def __init__(self, channels: int, hidden: int, scales: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(PointwiseConv(channels, hidden), GlobalLayerNorm(hidden), ChannelPReLU(hidden))
        self.scales = TimeScales(hidden, scales)
        self.merge = nn.Sequential(GlobalLayerNorm(hidden), ChannelPReLU(hidden))
        self.leave = nn.Sequential(PointwiseConv(hidden, channels), GlobalLayerNorm(channels))
        self.out = nn.Sequential(GlobalLayerNorm(channels), ChannelPReLU(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x + self.leave(self.merge(self.scales(self.enter(x)))))


class PlainUBlock(nn.Module):
    """`UBlock` of SuDoRM-RF++: no norm and no activation behind the sum, and one slope where the channels grow."""

    def __init__(self, channels: int, hidden: int, scales: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(PointwiseConv(channels, hidden), GlobalLayerNorm(hidden), PReLU())
        self.scales = TimeScales(hidden, scales)
        self.merge = nn.Sequential(GlobalLayerNorm(hidden), ChannelPReLU(hidden))
        self.leave = PointwiseConv(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.leave(self.merge(self.scales(self.enter(x))))


class SoftmaxMasks(nn.Module):
    """Masks that sum to 1, by a convolution along the filters that is the same for all frames, one kernel a source.

    (batch, frames, channels) -> (batch, sources, frames, filters); of one source in 0..1. filters: even.
    """

    def __init__(self, channels: int, filters: int, sources: int) -> None:
        super().__init__()
        self.filters, self.sources = filters, sources
        self.grow = PointwiseConv(channels, filters)
        self.conv = nn.Conv1d(1, sources, filters + 1, padding=filters // 2)

    def forward(self, x: Tensor) -> Tensor:
        assert self.conv.bias is not None
        logits = functional.linear(self.grow(x), self.matrix(), self.conv.bias.repeat_interleave(self.filters))
        logits = logits.unflatten(2, (self.sources, -1)).transpose(1, 2)
        return logits.softmax(1) if self.sources > 1 else logits.sigmoid()

    def matrix(self) -> Tensor:
        """The convolution as a matrix (sources * filters, filters): a processor is several times as fast with it."""
        half = self.filters // 2
        kernels = functional.pad(self.conv.weight.squeeze(1), (half, half))
        return kernels.unfold(1, self.filters, 1)[:, 1:-1].flip(1).flatten(0, 1)


class ReluMasks(nn.Module):
    """Masks of 0 or more, each from all channels: (batch, frames, channels) -> (batch, sources, frames, filters)."""

    def __init__(self, channels: int, filters: int, sources: int) -> None:
        super().__init__()
        self.sources = sources
        self.project = nn.Sequential(PReLU(), PointwiseConv(channels, sources * filters))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.project(x)).unflatten(2, (self.sources, -1)).transpose(1, 2)


class SuccessiveResampling(Part):
    """Encoder frames (batch, frames, filters) to masks (batch, sources, frames, filters).

    scales: how often the frames are looked at, each time half of them (upsampling depth). plain: blocks and masks of
    SuDoRM-RF++.
    """

    def __init__(
        self, filters: int, channels: int, blocks: int, scales: int, sources: int, plain: bool = False
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters, channels=channels)
        check_whole(1, 64, blocks=blocks, sources=sources)
        check_whole(1, 16, scales=scales)
        if filters % 2:
            raise ValueError(f"filters is {filters}; it must be even")
        self.filters, self.sources, self.scales = filters, sources, scales
        block, masks = (PlainUBlock, ReluMasks) if plain else (UBlock, SoftmaxMasks)
        self.enter = nn.Sequential(GlobalLayerNorm(filters), PointwiseConv(filters, channels))
        self.blocks = nn.Sequential(*(block(channels, filters, scales) for _ in range(blocks)))
        self.masks = masks(channels, filters, sources)

    def forward(self, frames: Tensor) -> Tensor:
        # Up to whole frames of the coarsest scale, as the published networks were trained.
        missing = -frames.shape[1] % 2 ** (self.scales - 1)
        x = self.blocks(self.enter(functional.pad(frames, (0, 0, 0, missing))))
        return self.masks(x[:, : frames.shape[1]])
