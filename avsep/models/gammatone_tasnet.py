"""Conv-TasNet with a fixed encoder: a multi-phase gammatone filter bank (Ditter and Gerkmann, 2020)."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.gammatone import GammatoneDecoder, GammatoneEncoder
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE

Synthesis = Literal["learned", "inverse"]


class GammatoneTasNet(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    decoder: "learned", or the pseudo-"inverse" of the filter bank, fixed too. filters: even; the paper finds 128 as
    good as 512. kernel and stride of the encoder in samples (the paper's filters are 2 ms long), the other sizes as of
    `ConvTasNet`.
    """

    paper = "Ditter and Gerkmann, A multi-phase gammatone filterbank for speech separation via TasNet"
    year = 2020
    published = "0.7 dB SI-SNR above a learned encoder, WSJ0-2mix"
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
        filters: int = 128,
        kernel: int = 32,
        stride: int = 16,
        bottleneck: int = 256,
        hidden: int = 512,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        norm: str = "gLN",
        causal: bool = False,
        decoder: Synthesis = "learned",
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        if decoder not in get_args(Synthesis):
            raise ValueError(f"decoder is {decoder!r}; it must be one of {', '.join(get_args(Synthesis))}")
        learned = decoder == "learned"
        super().__init__(
            GammatoneEncoder(filters, kernel, stride, sample_rate),
            TemporalConvNet(filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, sources, norm, causal),
            Decoder(filters, kernel, stride) if learned else GammatoneDecoder(filters, kernel, stride, sample_rate),
            sample_rate=sample_rate,
        )
