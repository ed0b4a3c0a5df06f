"""Conv-TasNet with an encoder and a decoder of several layers (Kadioglu et al., 2020)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from avsep.models.base import Output
from avsep.models.masking import MaskingModel
from avsep.models.parts.deep_encoder import DeepDecoder, DeepEncoder
from avsep.models.parts.levels import at_level, level_of
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE


class DeepConvTasNet(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    layers: of the encoder behind its filter bank, and of the decoder before its own. dilated: they reach 1, 2, 4, ...
    frames far. The other sizes as of `ConvTasNet`.
    """

    paper = "Kadioglu et al., An empirical study of Conv-TasNet"
    year = 2020
    paper_args: ClassVar = {
        "filters": 512,
        "kernel": 16,
        "stride": 8,
        "bottleneck": 128,
        "skip": 128,
        "repeats": 3,
        "sample_rate": 8000,
    }

    def __init__(
        self,
        sources: int = 2,
        filters: int = 256,
        kernel: int = 40,
        stride: int = 20,
        bottleneck: int = 256,
        hidden: int = 512,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        norm: str = "gLN",
        layers: int = 4,
        dilated: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            DeepEncoder(filters, kernel, stride, layers, dilated),
            TemporalConvNet(filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, sources, norm),
            DeepDecoder(filters, kernel, stride, layers, dilated),
            sample_rate=sample_rate,
        )

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time); what the layers add to the frames does not
        depend on the level."""
        level = level_of(mixture)
        return at_level(super().forward(mixture / level), level)
