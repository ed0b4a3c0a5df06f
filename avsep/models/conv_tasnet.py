"""Separation by sound alone: Conv-TasNet (Luo and Mesgarani, 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from avsep.models.base import Kind
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.conv_tasnet import Masks, TemporalConvNet
from avsep.signals import SAMPLE_RATE


class ConvTasNet(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order unless `names` are given.

    kernel and stride of the encoder in samples; the other sizes are the paper's N, B, H, Sc, P, X, R. rectified and
    padded are of the `Encoder`, masks of the `TemporalConvNet`: implementations differ in them.
    """

    paper = "Luo and Mesgarani, Conv-TasNet"
    year = 2019
    published = "15.3 dB SI-SNRi, WSJ0-2mix"
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
        causal: bool = False,
        sample_rate: int = SAMPLE_RATE,
        names: Sequence[str] = (),
        kind: Kind = "voice",
        rectified: bool = True,
        padded: bool = True,
        masks: Masks = "sigmoid",
    ) -> None:
        super().__init__(
            Encoder(filters, kernel, stride, rectified, padded),
            TemporalConvNet(
                filters,
                bottleneck,
                hidden,
                skip,
                block_kernel,
                blocks,
                repeats,
                sources,
                norm,
                causal,
                masks=masks,
            ),
            Decoder(filters, kernel, stride, padded),
            names=names,
            kind=kind,
            sample_rate=sample_rate,
        )
