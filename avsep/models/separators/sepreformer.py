"""The separator of SepReformer: an encoder that looks at the mixture, a split into the sources, and a decoder that
reconstructs each of them with the same weights (Shin et al., Separate and reconstruct, 2024, section 3).

Letters of the paper: F channels, R stages, each of which halves the frames, J sources.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import DepthwiseConv, GlobalLayerNorm, PointwiseConv
from avsep.models.parts.strided import StridedDepthwiseConv, stretched

SCALE = 1e-5
"""What each branch is multiplied by before any training, for each channel (layer scale; Touvron et al., 2021)."""


class LongDepthwiseConv(DepthwiseConv):
    """The same where nothing is trained by another way: with a long kernel, oneDNN's is many times as fast forward, and
    many times as slow backward."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return super().forward(x)
        image, kernels = x.transpose(1, 2).unsqueeze(2), self.weight.t()[:, None, None]
        edge = (0, -self.offsets[0])
        return functional.conv2d(image, kernels, self.bias, 1, edge, groups=len(kernels)).squeeze(2).transpose(1, 2)


class Scale(nn.Module):
    """A factor for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class FeedForward(nn.Module):
    """Gated convolutional feed-forward network, with its residual (GCFN, figure 4): (batch, frames, channels) -> the
    same shape."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.LayerNorm(channels),
            PointwiseConv(channels, 6 * channels),
            DepthwiseConv(6 * channels, 3, 1, False),
            nn.GLU(2),
            nn.Dropout(dropout),
            PointwiseConv(3 * channels, channels),
            nn.Dropout(dropout),
            Scale(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class RelativePositions(nn.Module):
    """Learned keys of how far two steps lie apart, the same from `reach` steps on (Shaw et al., 2018)."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.keys = nn.Embedding(2 * reach, width)

    def forward(self, steps: int) -> Tensor:
        """Keys of the distances steps - 1, steps - 2, ..., -steps: (2 * steps, width)."""
        apart = torch.arange(steps - 1, -steps - 1, -1, device=self.keys.weight.device)
        return self.keys(apart.clamp(-self.reach, self.reach - 1) + self.reach)


def between_steps(products: Tensor) -> Tensor:
    """Products of the query at each step with the keys of all distances, (..., steps, 2 * steps) in the order of
    `RelativePositions`, -> with the key of its distance to each other step, (..., steps, steps)."""
    steps = products.shape[-2]
    # Row t of the result begins one place to the left of where row t + 1 does: rows one shorter, end to end.
    flat = products.flatten(-2)[..., steps - 1 : steps - 1 + steps * (2 * steps - 1)]
    return flat.unflatten(-1, (steps, -1))[..., :steps]


class Attention(nn.Module):
    """Self-attention with the norm first, without residual: (sequences, steps, channels) -> the same shape."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, 3 * channels)
        self.out = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(dropout), Scale(channels))

    def forward(self, x: Tensor, positions: RelativePositions | None = None) -> Tensor:
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.project(self.norm(x)).chunk(3, 2)
        )
        bias = None
        if positions is not None:
            bias = between_steps(query @ positions(x.shape[1]).t()) / query.shape[3] ** 0.5
        dropout = self.dropout if self.training else 0.0
        made = functional.scaled_dot_product_attention(query, key, value, bias, dropout)
        return self.out(made.transpose(1, 2).flatten(2))


class GlobalBlock(nn.Module):
    """Attention over frames that are pooled to `steps`, gated at the full rate, then a feed-forward network (EGA,
    figure 4): (batch, frames, channels) -> the same shape. frames: a multiple of steps."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(channels, heads, dropout)
        self.gate = nn.Sequential(nn.LayerNorm(channels), PointwiseConv(channels, channels), nn.Sigmoid())
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x: Tensor, steps: int, positions: RelativePositions) -> Tensor:
        pooled = self.attention(x.unflatten(1, (steps, -1)).mean(2), positions)
        return self.feed_forward(x + self.gate(x) * stretched(pooled, x.shape[1]))


class LocalBlock(nn.Module):
    """Convolution with a long kernel in place of attention to what is near, then a feed-forward network (CLA, figure
    4): (batch, frames, channels) -> the same shape."""

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.before = nn.Sequential(
            nn.LayerNorm(channels),
            PointwiseConv(channels, 2 * channels),
            nn.GLU(2),
            LongDepthwiseConv(channels, kernel, 1, False),
            PointwiseConv(channels, 2 * channels),
        )
        self.norm = nn.BatchNorm1d(2 * channels)
        self.after = nn.Sequential(
            nn.GELU(), PointwiseConv(2 * channels, channels), nn.Dropout(dropout), Scale(channels)
        )
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x: Tensor) -> Tensor:
        made = self.before(x)
        made = self.norm(made.flatten(0, 1)).view_as(made)
        return self.feed_forward(x + self.after(made))


class CrossSpeakerBlock(nn.Module):
    """Attention of the sources of a frame to each other, then a feed-forward network along the frames: (batch *
    sources, frames, channels) -> the same shape."""

    def __init__(self, channels: int, heads: int, sources: int, dropout: float) -> None:
        super().__init__()
        self.sources = sources
        self.attention = Attention(channels, heads, dropout)
        self.feed_forward = FeedForward(channels, dropout)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        together = x.unflatten(0, (-1, self.sources)).transpose(1, 2).flatten(0, 1)
        together = together + self.attention(together)
        return self.feed_forward(together.unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1))


class Halve(nn.Module):
    """Every second frame: (batch, frames, channels) -> (batch, frames / 2, channels)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = StridedDepthwiseConv(channels, 5, 2)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return functional.gelu(self.norm(x.flatten(0, 1)).view_as(x))


class Split(nn.Module):
    """Features of the mixture to features of each source (figure 3): (batch, frames, channels) -> (batch * sources,
    frames, channels)."""

    def __init__(self, channels: int, sources: int) -> None:
        super().__init__()
        self.sources = sources
        self.project = nn.Sequential(
            PointwiseConv(channels, 4 * channels * sources),
            nn.GLU(2),
            PointwiseConv(2 * channels * sources, channels * sources),
        )
        self.norm = GlobalLayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        made = self.project(x).unflatten(2, (self.sources, -1)).transpose(1, 2)
        return self.norm(made.flatten(0, 1))


class Stage(nn.Module):
    """Global and local blocks in turn, and where there are sources the cross-speaker one: (batch, frames, channels) ->
    the same shape."""

    def __init__(self, channels: int, heads: int, kernel: int, blocks: int, dropout: float, sources: int = 0) -> None:
        super().__init__()
        self.wide = nn.ModuleList(GlobalBlock(channels, heads, dropout) for _ in range(blocks))
        self.near = nn.ModuleList(LocalBlock(channels, kernel, dropout) for _ in range(blocks))
        across = (CrossSpeakerBlock(channels, heads, sources, dropout) for _ in range(blocks if sources else 0))
        self.across = nn.ModuleList(across)

    def forward(self, x: Tensor, steps: int, positions: RelativePositions) -> Tensor:
        for number, (wide, near) in enumerate(zip(self.wide, self.near, strict=True)):
            x = near(wide(x, steps, positions))
            if self.across:
                x = self.across[number](x)
        return x


class SeparateAndReconstruct(Part):
    """Encoder frames to features of each source, at every stage of the decoder.

    channels F, a multiple of heads; stages R; encoder_blocks, decoder_blocks: of each kind, in every stage; kernel: of
    the local blocks, odd; reach: of relative positions, in frames of the coarsest stage.
    """

    def __init__(
        self,
        filters: int,
        channels: int,
        stages: int,
        encoder_blocks: int,
        decoder_blocks: int,
        heads: int,
        kernel: int,
        sources: int,
        reach: int = 2000,
        dropout: float = 0.05,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters, channels=channels, heads=heads, reach=reach)
        check_whole(1, 16, stages=stages)
        check_whole(1, 64, encoder_blocks=encoder_blocks, decoder_blocks=decoder_blocks, sources=sources)
        check_whole(1, 1001, kernel=kernel)
        if channels % heads:
            raise ValueError(f"channels is {channels} with {heads} heads; it must be a multiple of them")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; it must be at least 0 and below 1")
        self.stages, self.sources = stages, sources
        sizes = channels, heads, kernel
        self.enter = nn.Sequential(GlobalLayerNorm(filters), PointwiseConv(filters, channels, bias=False))
        self.positions = RelativePositions(channels // heads, reach)
        self.encoder = nn.ModuleList(Stage(*sizes, encoder_blocks, dropout) for _ in range(stages + 1))
        self.halve = nn.ModuleList(Halve(channels) for _ in range(stages))
        # One for all stages.
        self.split = Split(channels, sources)
        self.fuse = nn.ModuleList(PointwiseConv(2 * channels, channels) for _ in range(stages))
        self.decoder = nn.ModuleList(Stage(*sizes, decoder_blocks, dropout, sources) for _ in range(stages))

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(batch, frames, filters) -> what goes into each stage of the decoder, from the coarsest on, and what comes
        out of the last: each (batch * sources, frames of that stage, channels), the last as many as were given."""
        count = frames.shape[1]
        x = functional.pad(self.enter(frames), (0, 0, 0, -count % 2**self.stages))
        steps = x.shape[1] // 2**self.stages
        skips = []
        for stage, halve in zip(self.encoder, self.halve, strict=False):
            x = stage(x, steps, self.positions)
            skips.append(self.split(x))
            x = halve(x)
        x = self.split(self.encoder[-1](x, steps, self.positions))
        made = []
        for fuse, stage, skip in zip(self.fuse, self.decoder, reversed(skips), strict=True):
            made.append(x)
            x = fuse(torch.cat([stretched(x, skip.shape[1]), skip], 2))
            x = stage(x, steps, self.positions)
        return [*made, x[:, :count]]
