"""Separation by gated convolutional blocks of parallel components: FurcaPa of FurcaNeXt (Zhang et al., 2020)."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.gated_tcn import GatedTCN
from avsep.signals import SAMPLE_RATE


class FurcaPa(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    Of the four networks of the paper this is the one whose blocks are gated and have parallel components inside (see
    `GatedTCN`). The other sizes are those of `ConvTasNet`, also at the paper's size.
    """

    paper = "Zhang et al., FurcaNeXt"
    year = 2020
    paper_args: ClassVar = {
        "filters": 512,
        "kernel": 16,
        "stride": 8,
        "hidden": 512,
        "skip": 128,
        "sample_rate": 8000,
    }

    def __init__(
        self,
        sources: int = 2,
        filters: int = 256,
        kernel: int = 40,
        stride: int = 20,
        bottleneck: int = 128,
        hidden: int = 256,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 3,
        norm: str = "gLN",
        causal: bool = False,
        components: int = 2,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            Encoder(filters, kernel, stride),
            GatedTCN(
                filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, sources, norm, causal, components
            ),
            Decoder(filters, kernel, stride),
            sample_rate=sample_rate,
        )
