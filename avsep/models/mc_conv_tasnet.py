"""Separation by several microphones: Conv-TasNet with inter-channel features (Gu et al., 2019)."""

from __future__ import annotations

from avsep.models.base import Part
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.inter_channel import ArrayEncoder, PhaseDifferences
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE


class MultiChannelConvTasNet(MaskingModel):
    """A fixed number of estimates as the first microphone, the reference, has them: `ConvTasNet` on its frames, which
    is told by features of the other microphones where the sources are.

    features: `PhaseDifferences` (the default) or `ConvolutionDifferences` of avsep.models.parts.inter_channel;
    pair_hidden, pooled, fewest_channels, most_channels: see `PairFeatures` there. The other arguments are those of
    `ConvTasNet`, whose weights it can start with (`warm_start`).
    """

    paper = "Gu et al., End-to-end multi-channel speech separation"
    year = 2019

    def __init__(
        self,
        sources: int = 2,
        filters: int = 512,
        kernel: int = 32,
        stride: int = 16,
        bottleneck: int = 128,
        hidden: int = 512,
        skip: int = 128,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        norm: str = "gLN",
        causal: bool = False,
        features: Part | None = None,
        pair_hidden: int = 256,
        pooled: bool = True,
        fewest_channels: int = 2,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        pairs = PhaseDifferences() if features is None else features
        super().__init__(
            ArrayEncoder(filters, kernel, stride, pairs, pair_hidden, pooled, fewest_channels, most_channels),
            TemporalConvNet(filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, sources, norm, causal),
            Decoder(filters, kernel, stride),
            sample_rate=sample_rate,
        )
