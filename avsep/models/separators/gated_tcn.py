"""A temporal convolutional network of gated blocks with parallel components (Zhang et al., FurcaNeXt, 2020: FurcaPa).

Letters as in `avsep.models.separators.conv_tasnet`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from avsep.models.limits import check_whole
from avsep.models.parts.layers import NORMS, DepthwiseConv, PointwiseConv, PReLU
from avsep.models.separators.conv_tasnet import TemporalConvNet


class GatedComponent(nn.Module):
    """1x1 convolution, PReLU, norm; then two depth-wise convolutions, one of which, through a sigmoid, gates the other;
    norm."""

    def __init__(self, channels: int, hidden: int, kernel: int, dilation: int, norm: str, causal: bool) -> None:
        super().__init__()
        self.enter = nn.Sequential(PointwiseConv(channels, hidden), PReLU(), NORMS[norm](hidden))
        self.value = DepthwiseConv(hidden, kernel, dilation, causal)
        self.gate = DepthwiseConv(hidden, kernel, dilation, causal)
        self.norm = NORMS[norm](hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, frames, hidden)."""
        x = self.enter(x)
        return self.norm(self.value(x) * torch.sigmoid(self.gate(x)))


class ParallelGatedBlock(nn.Module):
    """The mean of `components` gated components of one shape, each with weights of its own, then a residual and a skip
    output as in `ConvBlock`."""

    def __init__(
        self,
        bottleneck: int,
        hidden: int,
        skip: int,
        kernel: int,
        dilation: int,
        norm: str,
        causal: bool,
        components: int,
    ) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.components = nn.ModuleList(
            GatedComponent(bottleneck, hidden, kernel, dilation, norm, causal) for _ in range(components)
        )
        self.out = PointwiseConv(hidden, bottleneck + skip)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, bottleneck) -> residual output of that shape, (batch, frames, skip)."""
        mean = torch.stack([component(x) for component in self.components]).mean(0)
        residual, skip = self.out(mean).tensor_split([self.bottleneck], dim=2)
        return x + residual, skip


class GatedTCN(TemporalConvNet):
    """`TemporalConvNet` of `ParallelGatedBlock`s. components: parallel ones in a block."""

    def __init__(
        self,
        filters: int,
        bottleneck: int,
        hidden: int,
        skip: int,
        kernel: int,
        blocks: int,
        repeats: int,
        sources: int,
        norm: str = "gLN",
        causal: bool = False,
        components: int = 2,
    ) -> None:
        check_whole(1, 16, components=components)
        self.components = components
        super().__init__(filters, bottleneck, hidden, skip, kernel, blocks, repeats, sources, norm, causal)

    def block(self, *sizes: Any) -> nn.Module:
        return ParallelGatedBlock(*(*sizes, self.components))
