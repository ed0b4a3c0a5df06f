"""Separation by a split of the features into those of the sources early in the network, which a decoder with the same
weights for all reconstructs: SepReformer (Shin et al., 2024)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Output
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.layers import PointwiseConv
from avsep.models.parts.levels import level_of
from avsep.models.parts.strided import stretched
from avsep.models.separators.sepreformer import SeparateAndReconstruct
from avsep.signals import SAMPLE_RATE


class ToFrames(nn.Sequential):
    """Features of a source to frames for a decoder: (n, frames, channels) -> (n, frames, filters)."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__(PointwiseConv(channels, 4 * channels), nn.GLU(2), PointwiseConv(2 * channels, filters))


class SepReformer(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    kernel and stride of the encoder in samples; channels F, stages R and the other sizes: see
    `SeparateAndReconstruct`. The defaults are those of the paper's tiny network (SepReformer-T) but for the sample
    rate; its base network (-B) has 128 channels. every_stage: it gives estimates before each stage of the decoder as
    stages, by masks that have heads of their own (see `avsep.losses.OnStages`); they take part in nothing else.
    """

    paper = "Shin et al., Separate and reconstruct"
    year = 2024
    published = "22.4 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"kernel": 16, "stride": 4, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 256,
        kernel: int = 32,
        stride: int = 8,
        channels: int = 64,
        stages: int = 4,
        encoder_blocks: int = 2,
        decoder_blocks: int = 3,
        heads: int = 8,
        block_kernel: int = 65,
        reach: int = 2000,
        dropout: float = 0.05,
        every_stage: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            Encoder(filters, kernel, stride, rectified=False),
            SeparateAndReconstruct(
                filters,
                channels,
                stages,
                encoder_blocks,
                decoder_blocks,
                heads,
                block_kernel,
                sources,
                reach,
                dropout,
            ),
            Decoder(filters, kernel, stride),
            sample_rate=sample_rate,
        )
        self.to_frames = ToFrames(channels, filters)
        heads_of_stages = range(stages if every_stage else 0)
        self.stage_masks = nn.ModuleList(ToFrames(channels, filters) for _ in heads_of_stages)
        self.stage_decoders = nn.ModuleList(Decoder(filters, kernel, stride) for _ in heads_of_stages)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        time = mixture.shape[-1]
        frames = functional.gelu(self.encoder(mixture)[0])
        *earlier, last = self.separator(frames)
        stages = []
        for x, to_masks, decoder in zip(earlier, self.stage_masks, self.stage_decoders, strict=False):
            masks = self.by_source(torch.relu(to_masks(stretched(x, frames.shape[1]))))
            stages.append(decoder(masks * frames.unsqueeze(1), time).unsqueeze(2))
        estimates = self.decoder(self.by_source(self.to_frames(last)), time)
        # The last stage is no mask: its level is that of normalised features.
        return Output(estimates.unsqueeze(2) * level_of(mixture).unsqueeze(1), tuple(stages))

    def by_source(self, x: Tensor) -> Tensor:
        """(batch * sources, ...) -> (batch, sources, ...)."""
        return x.unflatten(0, (-1, self.separator.sources))
