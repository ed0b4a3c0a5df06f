"""One network for several numbers of voices, which counts them itself (Zhu, Yeh and Hasegawa-Johnson, 2021)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.dprnn import DualPathTrunk, FrameHead
from avsep.models.limits import check_whole
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.levels import level_of
from avsep.models.parts.voice_counter import CountHead
from avsep.signals import SAMPLE_RATE


class DecoderHead(nn.Module):
    """Features to the estimates of a fixed number of sources."""

    def __init__(self, bottleneck: int, filters: int, kernel: int, stride: int, sources: int, masks: bool) -> None:
        super().__init__()
        self.leave = FrameHead(bottleneck, filters, sources, masks)
        self.decoder = Decoder(filters, kernel, stride)

    def forward(self, features: Tensor, masked: Tensor, time: int) -> Tensor:
        """(batch, frames, bottleneck) and what is masked (batch, frames, filters), or the level (batch, 1, 1) where
        there are no masks -> (batch, sources, 1, time)."""
        return self.decoder(self.leave(features) * masked.unsqueeze(1), time).unsqueeze(2)


class MultiDecoderDPRNN(SeparationModel):
    """As many estimates as there are voices, from 1 to `most_voices`: a head with a decoder of its own for each number,
    behind one trunk, and a head that tells the number.

    It learns with `avsep.losses.ByCount`, which goes by the head of the true number, beside `avsep.losses.OnLogits` on
    "count". In use the head of the estimated number is taken. cell, masks and the sizes: see `DPRNN`; by default they
    are those of `MulCatDPRNN`, on which the paper builds, and whose loss after every block is left out here.
    """

    paper = "Zhu et al., Multi-Decoder DPRNN: Source separation for variable number of speakers"
    year = 2021
    paper_args: ClassVar = {"most_voices": 5, "sample_rate": 8000}

    def __init__(
        self,
        most_voices: int = 4,
        filters: int = 128,
        kernel: int = 8,
        stride: int = 4,
        bottleneck: int = 128,
        hidden: int = 128,
        chunk: int = 126,
        blocks: int = 6,
        cell: str = "mulcat",
        masks: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_whole(1, 16, most_voices=most_voices)
        self.most_voices, self.masks = most_voices, masks
        self.encoder = Encoder(filters, kernel, stride)
        self.trunk = DualPathTrunk(filters, bottleneck, hidden, chunk, blocks, cell)
        self.heads = nn.ModuleList(
            DecoderHead(bottleneck, filters, kernel, stride, sources, masks) for sources in range(1, most_voices + 1)
        )
        self.counter = CountHead(bottleneck, most_voices)
        self.contract = Contract(sample_rate, sources=None, refine=True, stride=stride)

    def with_sources(self, sources: int) -> Self:
        """The same model, whose head for so many sources is taken. ValueError for more than `most_voices`."""
        check_whole(1, self.most_voices, sources=sources)
        other = copy.copy(self)
        other.contract = replace(self.contract, sources=sources)
        return other

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> stages, the estimates of every head from the one for a single source on, each
        with silent ones added up to the most: (batch, most, 1, time). estimates: those of the head of the estimated
        number. logits "count": (batch, 1 + most), the first for none."""
        self.check(mixture)
        features, masked = self.features(mixture)
        logits = self.counter(features)
        stages = [self.padded(head(features, masked, mixture.shape[-1]), self.most_voices) for head in self.heads]
        of_none = torch.zeros_like(stages[0])
        of_each = torch.stack([of_none, *stages], 1)
        estimates = of_each[torch.arange(len(mixture)), self.counts(logits)]
        return Output(estimates, tuple(stages), logits={"count": logits})

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time), as many as the item with the most has; in
        others the last ones are silent. There is at least one."""
        self.check(mixture)
        features, masked = self.features(mixture)
        logits = self.counter(features)
        counts = self.counts(logits)
        estimates = mixture.new_zeros(len(mixture), max(1, int(counts.max())), 1, mixture.shape[-1])
        for count in counts.unique().tolist():
            if count:
                items = counts == count
                made = self.heads[count - 1](features[items], masked[items], mixture.shape[-1])
                estimates[items] = self.padded(made, estimates.shape[1]).to(estimates)
        return Output(estimates, logits={"count": logits})

    def features(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> those of the trunk (batch, frames, bottleneck), and what its heads are to mask."""
        frames = self.encoder(mixture)[0]
        # What is no mask has the level of normalised features.
        return next(self.trunk.features(frames)), frames if self.masks else level_of(mixture)

    def counts(self, logits: Tensor) -> Tensor:
        """Logits (batch, 1 + most) -> the estimated numbers (batch,), or the one that was told."""
        told = self.contract.sources
        return logits.argmax(1) if told is None else torch.full_like(logits[:, 0], told, dtype=torch.long)

    @staticmethod
    def padded(estimates: Tensor, count: int) -> Tensor:
        """(batch, sources, 1, time) with silent sources added."""
        return functional.pad(estimates, (0, 0, 0, 0, 0, count - estimates.shape[1]))
