"""Separation by transformers within and across chunks: SepFormer (Subakan et al., 2021)."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.sepformer import DualPathTransformer
from avsep.signals import SAMPLE_RATE


class SepFormer(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    kernel and stride of the encoder in samples, chunk in frames; layers: of each transformer, two of which make a
    block. width 0: as many channels as the encoder has filters. The other sizes: see `DualPathTransformer`. padded: see
    `Encoder`.

    `avsep import` reads SpeechBrain's weights as such a model.
    """

    paper = "Subakan et al., Attention is all you need in speech separation"
    year = 2021
    published = "20.4 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"kernel": 16, "stride": 8, "chunk": 250, "layers": 8, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        filters: int = 256,
        kernel: int = 32,
        stride: int = 16,
        width: int = 0,
        chunk: int = 100,
        blocks: int = 2,
        layers: int = 4,
        heads: int = 8,
        hidden: int = 1024,
        dropout: float = 0.0,
        sample_rate: int = SAMPLE_RATE,
        padded: bool = True,
    ) -> None:
        super().__init__(
            Encoder(filters, kernel, stride, padded=padded),
            DualPathTransformer(filters, width or filters, chunk, blocks, layers, heads, hidden, sources, dropout),
            Decoder(filters, kernel, stride, padded),
            sample_rate=sample_rate,
        )
