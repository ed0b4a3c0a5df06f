"""Separation in two trainings (Tzinis et al., Two-step sound source separation, 2020): the first finds a transform in
which ideal masks separate well, the second a network that estimates such masks, the transform staying as it is.

Weights of the first one begin the second: warm_start and freeze of the encoder and the decoder (configs/two_step.yaml).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.masking import MaskingModel
from avsep.models.parts.latent import LatentDecoder, LatentEncoder, ideal_latent_masks
from avsep.models.parts.levels import at_level, level_of
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE


class TwoStepAutoencoder(SeparationModel):
    """The first training: one estimate for each of the sources, which it is given, through ideal masks.

    Its SI-SNRi is what the second training can come up to. It separates nothing by itself, for want of the sources.

    filters, kernel and stride of the encoder and the decoder, the latter two in samples; kernel: odd.
    """

    paper = "Tzinis et al., Two-step sound source separation (first step)"
    year = 2020
    paper_args: ClassVar = {"kernel": 21, "stride": 10, "sample_rate": 8000}

    def __init__(self, filters: int = 256, kernel: int = 41, stride: int = 20, sample_rate: int = SAMPLE_RATE) -> None:
        super().__init__()
        self.encoder, self.decoder = LatentEncoder(filters, kernel, stride), LatentDecoder(filters, kernel, stride)
        self.contract = Contract(sample_rate, cues=("sources",), sources=None, order="cue", stride=stride)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time), sources (batch, sources, channels, time), of which the first channel counts ->
        estimates (batch, sources, 1, time)."""
        self.check(mixture)
        level = level_of(mixture)
        masks = ideal_latent_masks(self.encoder.transform(cues["sources"][:, :, 0] / level))
        _, frames = self.encoder(mixture / level)
        estimates = self.decoder(masks.mT * frames.unsqueeze(1), mixture.shape[-1])
        return at_level(Output(estimates.unsqueeze(2)), level)


class TwoStepTDCN(MaskingModel):
    """The second training: a fixed number of estimates from one channel, in no particular order.

    Trained with `OnMasks` of `LatentSiSnr`. The separator is that of `ConvTasNet` with its sizes, with masks that sum
    to 1. The paper's has 8.6 million weights, with one filter along all channels before the masks; here they are 8.7
    million.
    """

    paper = "Tzinis et al., Two-step sound source separation"
    year = 2020
    published = "16.1 dB SI-SDRi, WSJ0-2mix"
    paper_args: ClassVar = {"kernel": 21, "stride": 10, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 256,
        kernel: int = 41,
        stride: int = 20,
        bottleneck: int = 256,
        hidden: int = 512,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            LatentEncoder(filters, kernel, stride),
            TemporalConvNet(filters, bottleneck, hidden, 0, block_kernel, blocks, repeats, sources, masks="softmax"),
            LatentDecoder(filters, kernel, stride),
            sample_rate=sample_rate,
        )

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time)."""
        level = level_of(mixture)
        return at_level(super().forward(mixture / level), level)
