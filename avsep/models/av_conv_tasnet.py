"""The fused way: the voice that belongs to a pair of lips (Wu et al., Time domain audio visual speech separation,
2019)."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.base import Part
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.inter_channel import ArrayEncoder
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE


class AVConvTasNet(MaskingModel):
    """One estimate for each face given: lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of
    time as the mixture.

    fuse_after: how many repeats of the separator are run before the lips join. lip: arguments of `LipEncoder`. pairs:
    features of pairs of microphones, `PhaseDifferences` or `ConvolutionDifferences` of
    avsep.models.parts.inter_channel, for a model of 2 to 8 microphones; pair_hidden: see `PairFeatures` there.
    """

    paper = "Wu et al., Time domain audio visual speech separation"
    year = 2019
    published = "11.2 dB SI-SNRi, LRS3-2mix"
    paper_args: ClassVar = {"lip": {}}

    def __init__(
        self,
        filters: int = 256,
        kernel: int = 40,
        stride: int = 20,
        bottleneck: int = 256,
        hidden: int = 512,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        fuse_after: int = 1,
        norm: str = "gLN",
        causal: bool = False,
        sample_rate: int = SAMPLE_RATE,
        lip: dict | None = None,
        pairs: Part | None = None,
        pair_hidden: int = 256,
    ) -> None:
        lips = LipEncoder(**(lip or {}))
        super().__init__(
            Encoder(filters, kernel, stride)
            if pairs is None
            else ArrayEncoder(filters, kernel, stride, pairs, pair_hidden),
            TemporalConvNet(
                filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, 1, norm, causal, fuse_after
            ),
            Decoder(filters, kernel, stride),
            lips,
            ConcatFusion(bottleneck, lips.channels),
            sample_rate=sample_rate,
        )
