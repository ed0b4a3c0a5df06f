"""Separation by recurrent networks within and across chunks: DPRNN-TasNet (Luo, Chen and Yoshioka, 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Output, Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv, PReLU
from avsep.models.parts.levels import level_of
from avsep.signals import SAMPLE_RATE


class Recurrent(nn.Module):
    """A bidirectional LSTM of `hidden` cells each way and a projection back to the channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(sequences, steps, channels) -> the same shape."""
        return self.project(self.lstm(x)[0])


class MulCat(nn.Module):
    """Multiply and concatenate: one recurrent network gates the other, and the input is joined to what passes
    (Nachmani, Adi and Wolf, Voice separation with an unknown number of multiple speakers, 2020)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.value, self.gate = Recurrent(channels, hidden), Recurrent(channels, hidden)
        self.project = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(sequences, steps, channels) -> the same shape."""
        return self.project(torch.cat([self.value(x) * self.gate(x), x], dim=2))


CELLS = {"lstm": Recurrent, "mulcat": MulCat}


class DualPath(nn.Module):
    """A network along each chunk, then one across the chunks, each with a norm and a residual."""

    def __init__(self, within: nn.Module, across: nn.Module, channels: int) -> None:
        super().__init__()
        self.within, self.across = within, across
        self.norm_within, self.norm_across = GlobalLayerNorm(channels), GlobalLayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, chunks, size, channels) -> the same shape."""
        batch, chunks, size, _ = x.shape
        within = self.within(x.flatten(0, 1)).unflatten(0, (batch, chunks))
        x = x + self.norm_within(within.flatten(1, 2)).unflatten(1, (chunks, size))
        across = self.across(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, size))
        return x + self.norm_across(across.flatten(1, 2)).unflatten(1, (size, chunks)).transpose(1, 2)


class DualPathBlock(DualPath):
    """`DualPath` of recurrent networks. cell: "lstm" or "mulcat"."""

    def __init__(self, channels: int, hidden: int, cell: str) -> None:
        super().__init__(CELLS[cell](channels, hidden), CELLS[cell](channels, hidden), channels)


class DualPathTrunk(Part):
    """Encoder frames to features, by `blocks` dual-path blocks over chunks of `chunk` frames that overlap by half.

    A chunk of about the square root of twice the frames of a training item makes both paths equally long. cell: "lstm"
    or "mulcat".
    """

    def __init__(self, filters: int, bottleneck: int, hidden: int, chunk: int, blocks: int, cell: str = "lstm") -> None:
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"cell is {cell!r}; it must be one of {sorted(CELLS)}")
        check_whole(1, MOST_SIZE, filters=filters, bottleneck=bottleneck, hidden=hidden)
        check_whole(2, 10_000, chunk=chunk)
        if chunk % 2 or blocks < 1:
            raise ValueError(f"chunk {chunk} and blocks {blocks}; expected an even chunk and at least one block")
        self.chunk = chunk
        self.enter = nn.Sequential(GlobalLayerNorm(filters), PointwiseConv(filters, bottleneck))
        self.blocks = nn.ModuleList(DualPathBlock(bottleneck, hidden, cell) for _ in range(blocks))

    def features(self, frames: Tensor, every: bool = False) -> Iterator[Tensor]:
        """(batch, frames, filters) -> (batch, frames, bottleneck) after the last block, or after `every` one."""
        return self.run_blocks(self.enter(frames), every)

    def run_blocks(self, x: Tensor, every: bool = False) -> Iterator[Tensor]:
        """(batch, frames, bottleneck) -> the same shape after the last block, or after `every` one."""
        frames = x.shape[1]
        x = chunked(x, self.chunk)
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if every or number == len(self.blocks):
                yield overlap_added(x, frames)


class FrameHead(nn.Sequential):
    """Features to masks in 0..1, or, without `masks`, to frames for the decoder, of either sign."""

    def __init__(self, bottleneck: int, filters: int, sources: int, masks: bool) -> None:
        head = [PReLU(), PointwiseConv(bottleneck, sources * filters)]
        super().__init__(*head, *([nn.Sigmoid()] if masks else []))
        self.sources, self.filters = sources, filters

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, bottleneck) -> (batch, sources, frames, filters)."""
        return super().forward(x).unflatten(2, (self.sources, self.filters)).transpose(1, 2)


class DualPathRNN(DualPathTrunk):
    """`DualPathTrunk` and a `FrameHead`: encoder frames to masks, or to frames for the decoder."""

    def __init__(
        self,
        filters: int,
        bottleneck: int,
        hidden: int,
        chunk: int,
        blocks: int,
        sources: int,
        cell: str = "lstm",
        masks: bool = True,
    ) -> None:
        super().__init__(filters, bottleneck, hidden, chunk, blocks, cell)
        self.sources = sources
        self.leave = FrameHead(bottleneck, filters, sources, masks)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, filters) -> (batch, sources, frames, filters)."""
        return self.after(*self.before(frames))

    def before(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What comes before a cue joins: (batch, frames, filters) -> (batch, frames, bottleneck), and no skips."""
        return self.enter(frames), frames.new_zeros(())

    def after(self, x: Tensor, skips: Tensor) -> Tensor:
        """All blocks: (batch, frames, bottleneck) -> (batch, sources, frames, filters)."""
        (last,) = self.run_blocks(x)
        return self.leave(last)

    def after_blocks(self, frames: Tensor, every: bool = False) -> Iterator[Tensor]:
        """The same as `forward` after the last block, or after `every` one."""
        return (self.leave(x) for x in self.features(frames, every))


def chunked(x: Tensor, size: int) -> Tensor:
    """(batch, frames, channels) -> (batch, chunks, size, channels), each chunk half a chunk behind the one before; what
    is added at the ends is zero, so that every frame is in two chunks."""
    hop = size // 2
    halves = functional.pad(x, (0, 0, hop, hop + -x.shape[1] % hop)).unflatten(1, (-1, hop))
    return torch.cat([halves[:, :-1], halves[:, 1:]], dim=2)


def evened(x: Tensor, size: int) -> Tensor:
    """(batch, frames, channels) -> with silence at the end, at least a frame, so that `chunked` makes an even number of
    chunks: what weights of several projects were trained with."""
    return functional.pad(x, (0, 0, 0, size - (x.shape[1] + size // 2) % size))


def overlap_added(chunks: Tensor, frames: int) -> Tensor:
    """(batch, chunks, size, channels) -> (batch, frames, channels), the mean of the two chunks that each frame is
    in."""
    hop = chunks.shape[2] // 2
    first, second = chunks.split(hop, dim=2)
    total = functional.pad(first, (0, 0, 0, 0, 0, 1)) + functional.pad(second, (0, 0, 0, 0, 1, 0))
    return total.flatten(1, 2)[:, hop : hop + frames] / 2


class DPRNN(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    kernel and stride of the encoder in samples, chunk in frames, hidden: cells of an LSTM each way. cell, masks: see
    `DualPathRNN`. every_block: training gets the estimates after each block as stages, the heads being one (see
    `avsep.losses.OnStages`).
    """

    paper = "Luo et al., Dual-path RNN"
    year = 2020
    published = "18.8 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"kernel": 2, "stride": 1, "chunk": 250, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 64,
        kernel: int = 16,
        stride: int = 8,
        bottleneck: int = 64,
        hidden: int = 128,
        chunk: int = 100,
        blocks: int = 6,
        cell: str = "lstm",
        masks: bool = True,
        every_block: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            Encoder(filters, kernel, stride),
            DualPathRNN(filters, bottleneck, hidden, chunk, blocks, sources, cell, masks),
            Decoder(filters, kernel, stride),
            sample_rate=sample_rate,
        )
        self.masks, self.every_block = masks, every_block

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        features, frames = self.encoder(mixture)
        # What is no mask has the level of normalised features.
        masked = frames.unsqueeze(1) if self.masks else level_of(mixture).unsqueeze(1)
        stages = []
        for made in self.separator.after_blocks(features, self.every_block):
            estimates = self.decoder(made * masked, mixture.shape[-1])
            stages.append(estimates.unsqueeze(2))
        return Output(stages.pop(), tuple(stages))
