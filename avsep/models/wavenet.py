"""Separation of raw samples by dilated, gated convolutions: WaveNet without its causality (Rethage, Pons and Serra,
2018; for the stems of music Lluís, Pons and Serra, 2019)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.levels import level_of
from avsep.models.parts.stems import contract_of, outputs_of, with_difference
from avsep.signals import SAMPLE_RATE


class GatedBlock(nn.Module):
    """A dilated convolution whose tanh is gated by a sigmoid, then one matrix for the residual and the skip."""

    def __init__(self, filters: int, skip: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.dilated = nn.Conv1d(filters, 2 * filters, kernel, padding=padding, dilation=dilation, bias=False)
        self.mix = nn.Conv1d(filters, filters + skip, 1, bias=False)
        self.sizes = [filters, skip]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, filters, time) -> the same shape, and (batch, skip, time)."""
        value, gate = self.dilated(x).chunk(2, dim=1)
        residual, skip = self.mix(torch.tanh(value) * torch.sigmoid(gate)).split(self.sizes, dim=1)
        return x + residual, skip


class WaveNet(SeparationModel):
    """A fixed number of estimates with all channels of the mixture: voices in any order, or the stems of music.

    stems: names of the sources, in their order, in place of `sources` in any order. difference: the last estimate is
    what the others leave of the mixture. `stacks` times `layers` blocks of `filters` channels whose dilations are 1, 2,
    4, ... in each stack; what they skip, `skip` channels each, is added up, and goes through convolutions of `last`
    channels. kernel: of all of these, odd. An estimate of a sample depends on the `reach` samples on either side of it,
    but for the level, which is that of the whole.

    Unlike the papers' it is told the samples at a level of 1, pads with zeros instead of leaving out what the padding
    reaches, and has no condition.
    """

    paper = "Rethage et al., A WaveNet for speech denoising; Lluís et al., End-to-end music source separation"
    year = 2019
    paper_args: ClassVar = {"stems": ["drums", "bass", "vocals", "other"]}

    def __init__(
        self,
        sources: int = 2,
        stems: Sequence[str] | None = None,
        channels: int = 1,
        filters: int = 64,
        skip: int = 64,
        layers: int = 10,
        stacks: int = 4,
        kernel: int = 3,
        last: Sequence[int] = (2048, 256),
        difference: bool = True,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        # What the last layers hold of ten seconds would take gigabytes.
        self.contract = contract_of(sample_rate, channels, sources, stems, segment_seconds=4.0)
        outputs = outputs_of(self.contract, difference)
        check_whole(1, MOST_SIZE, filters=filters, skip=skip)
        check_whole(1, 16, layers=layers)
        check_whole(1, 100, stacks=stacks, last_layers=len(last))
        check_whole(1, 1001, kernel=kernel)
        for width in last:
            check_whole(1, MOST_SIZE, last=width)
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; it must be odd")
        self.channels, self.difference = channels, difference
        self.reach = kernel // 2 * (1 + stacks * (2**layers - 1) + len(last))
        self.enter = nn.Conv1d(channels, filters, kernel, padding=kernel // 2, bias=False)
        self.blocks = nn.ModuleList(
            GatedBlock(filters, skip, kernel, 2**layer) for _ in range(stacks) for layer in range(layers)
        )
        sizes = [skip, *last]
        convolutions = (
            nn.Conv1d(before, after, kernel, padding=kernel // 2, bias=False)
            for before, after in itertools.pairwise(sizes)
        )
        self.leave = nn.Sequential(
            *(module for conv in convolutions for module in (nn.ReLU(inplace=True), conv)),
            nn.Conv1d(sizes[-1], outputs, 1),
        )

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, sources, channels, time)."""
        self.check(mixture)
        level = level_of(full_precision(mixture))
        x = self.enter(mixture / level)
        skips: Tensor | float = 0.0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        estimates = (full_precision(self.leave(skips)) * level).unflatten(1, (-1, self.channels))
        return Output(with_difference(estimates, mixture) if self.difference else estimates)
