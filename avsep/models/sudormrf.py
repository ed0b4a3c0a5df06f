"""Separation by successive resampling, cheap in time and memory: SuDoRM-RF (Tzinis et al., 2020) and SuDoRM-RF++
(Tzinis et al., 2021)."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.sudormrf import SuccessiveResampling
from avsep.signals import SAMPLE_RATE


class SuDoRMRF(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order, by masks that sum to 1.

    kernel and stride of the encoder in samples; filters C_E, channels C and blocks B as in the paper, whose smaller
    networks have 8 and 4 blocks; scales: upsampling depth. The paper's kernel has 21 samples and here, where it is a
    multiple of the stride, 20. plain: blocks and masks of SuDoRM-RF++.

    `avsep import` reads asteroid's weights as such a model.
    """

    paper = "Tzinis et al., Sudo rm -rf"
    year = 2020
    paper_args: ClassVar = {"kernel": 20, "stride": 10, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 512,
        kernel: int = 40,
        stride: int = 20,
        channels: int = 128,
        blocks: int = 16,
        scales: int = 4,
        plain: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            Encoder(filters, kernel, stride, rectified=not plain),
            SuccessiveResampling(filters, channels, blocks, scales, sources, plain),
            Decoder(filters, kernel, stride),
            sample_rate=sample_rate,
        )


class SuDoRMRFpp(SuDoRMRF):
    """`SuDoRMRF` with plainer blocks, an encoder without activation, and masks of 0 or more that need not sum to 1."""

    paper = "Tzinis et al., Compute and memory efficient universal sound source separation"
    year = 2021
    paper_args: ClassVar = {"kernel": 20, "stride": 10, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 512,
        kernel: int = 40,
        stride: int = 20,
        channels: int = 128,
        blocks: int = 16,
        scales: int = 4,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(sources, filters, kernel, stride, channels, blocks, scales, True, sample_rate)
