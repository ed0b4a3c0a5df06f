"""Separation by gated recurrent networks with a loss after every block (Nachmani, Adi and Wolf, 2020)."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.dprnn import DPRNN
from avsep.signals import SAMPLE_RATE


class MulCatDPRNN(DPRNN):
    """`DPRNN` with multiply-and-concatenate blocks, whose frames go to the decoder as they are, without masks."""

    paper = "Nachmani et al., Voice separation with an unknown number of multiple speakers"
    year = 2020
    published = "20.1 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 128,
        kernel: int = 8,
        stride: int = 4,
        bottleneck: int = 128,
        hidden: int = 128,
        chunk: int = 126,
        blocks: int = 6,
        every_block: bool = True,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            sources,
            filters,
            kernel,
            stride,
            bottleneck,
            hidden,
            chunk,
            blocks,
            cell="mulcat",
            masks=False,
            every_block=every_block,
            sample_rate=sample_rate,
        )
