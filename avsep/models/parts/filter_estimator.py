"""Filters for the windows of several microphones, by dual-path networks that may compare notes between microphones."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from avsep.models.dprnn import DualPathBlock, chunked, overlap_added
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv, PReLU
from avsep.models.parts.microphones import mean_over_microphones


class TransformAverageConcatenate(nn.Module):
    """TAC: each microphone is told the mean of all of them (Luo et al., 2020, section 2.2).

    Every microphone is treated the same, whatever their number and order.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(channels, hidden), PReLU())
        self.average = nn.Sequential(nn.Linear(hidden, hidden), PReLU())
        self.concatenate, self.slope = nn.Linear(2 * hidden, channels), PReLU()
        self.norm = GlobalLayerNorm(channels)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """(batch, microphones, frames, channels), weights (batch, microphones) of the mean -> the same shape."""
        own = self.transform(x)
        mean = self.average(mean_over_microphones(own, weights))
        # The matrix over both at once, but what all microphones share is multiplied once.
        for_own, for_mean = self.concatenate.weight.chunk(2, dim=1)
        shared = functional.linear(mean, for_mean, self.concatenate.bias).unsqueeze(1)
        told = self.slope(functional.linear(own, for_own) + shared)
        return x + self.norm(told.flatten(0, 1)).unflatten(0, x.shape[:2])


class FilterEstimator(nn.Module):
    """Features of windows to `taps` of a filter for each window, microphone and source.

    A network of `blocks` dual-path blocks (see `avsep.models.dprnn.DualPathRNN`) runs over every microphone alone; with
    `tac_hidden` above 0, each block ends in TAC of so many units.
    """

    def __init__(
        self,
        features: int,
        bottleneck: int,
        hidden: int,
        chunk: int,
        blocks: int,
        taps: int,
        sources: int,
        tac_hidden: int = 0,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, bottleneck=bottleneck, hidden=hidden)
        check_whole(0, MOST_SIZE, tac_hidden=tac_hidden)
        check_whole(2, 10_000, chunk=chunk)
        check_whole(1, 1000, blocks=blocks)
        if chunk % 2:
            raise ValueError(f"chunk is {chunk}; it must be even")
        self.sources, self.chunk = sources, chunk
        self.enter = PointwiseConv(features, bottleneck)
        self.blocks = nn.ModuleList(DualPathBlock(bottleneck, hidden, "lstm") for _ in range(blocks))
        self.tacs = nn.ModuleList(
            TransformAverageConcatenate(bottleneck, tac_hidden) for _ in range(blocks if tac_hidden else 0)
        )
        self.leave = nn.Sequential(PReLU(), PointwiseConv(bottleneck, sources * bottleneck))
        self.taps = nn.Sequential(nn.Linear(bottleneck, taps), nn.Tanh())
        self.gate = nn.Sequential(nn.Linear(bottleneck, taps), nn.Sigmoid())

    def forward(self, features: Tensor, weights: Tensor) -> Tensor:
        """(batch, microphones, frames, features), weights (batch, microphones) of means over microphones -> filters
        (batch, microphones, sources, frames, taps)."""
        each, frames = features.shape[:2], features.shape[2]
        x = chunked(self.enter(features.flatten(0, 1)), self.chunk)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if self.tacs:
                flat = x.unflatten(0, each).flatten(2, 3)
                x = self.tacs[number](flat, weights).flatten(0, 1).unflatten(1, x.shape[1:3])
        x = self.leave(overlap_added(x, frames)).unflatten(2, (self.sources, -1)).transpose(1, 2)
        return (self.taps(x) * self.gate(x)).unflatten(0, each)
