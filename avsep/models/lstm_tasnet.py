"""Separation by recurrent networks over a learned basis: TasNet (Luo and Mesgarani, 2018), causal and not."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.gated_encoder import GatedEncoder
from avsep.models.separators.recurrent import RecurrentSeparator
from avsep.signals import SAMPLE_RATE


class LSTMTasNet(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order; causal, with a latency of one segment.

    filters and kernel: the paper's N and L, L in samples. hidden: cells of a layer each way. The published figures,
    32.0 million weights among them, are those that Luo and Mesgarani (Conv-TasNet, 2019) report for it; here they are
    31.1 million.
    """

    paper = "Luo and Mesgarani, TasNet"
    year = 2018
    published = "10.8 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"kernel": 40, "sample_rate": 8000}
    bidirectional: ClassVar[bool] = False

    def __init__(
        self,
        sources: int = 2,
        filters: int = 500,
        kernel: int = 80,
        hidden: int = 1000,
        layers: int = 4,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            GatedEncoder(filters, kernel),
            RecurrentSeparator(filters, hidden, layers, sources, self.bidirectional),
            Decoder(filters, kernel, kernel),
            sample_rate=sample_rate,
        )


class BLSTMTasNet(LSTMTasNet):
    """`LSTMTasNet` that looks at the whole mixture.

    23.6 million weights are published for it; here they are 23.1 million.
    """

    paper = "Luo and Mesgarani, TasNet"
    year = 2018
    published = "13.2 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"kernel": 40, "sample_rate": 8000}
    bidirectional: ClassVar[bool] = True

    def __init__(
        self,
        sources: int = 2,
        filters: int = 500,
        kernel: int = 80,
        hidden: int = 500,
        layers: int = 4,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(sources, filters, kernel, hidden, layers, sample_rate)
