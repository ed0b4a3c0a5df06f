"""Separation by recurrent networks along time and along the bands of a spectrum: band-split RNN (Luo and Yu, 2023)."""

from __future__ import annotations

from avsep.models.masking import MaskingModel
from avsep.models.parts.stft import CompressedStftEncoder, StftDecoder
from avsep.models.separators.band_split import BandSplitNet

WINDOW = 512
"""Samples; the bands are those of its bins."""


class BandSplitRNN(MaskingModel):
    """A fixed number of estimates from one channel at 16 kHz, in no particular order.

    channels: of a band's token. hidden: cells of an LSTM each way. stride of the STFT in samples.
    """

    paper = "Luo and Yu, Band-split RNN"
    year = 2023

    def __init__(
        self, sources: int = 2, channels: int = 48, hidden: int = 64, blocks: int = 4, stride: int = 256
    ) -> None:
        super().__init__(
            CompressedStftEncoder(WINDOW, stride),
            BandSplitNet(channels, hidden, blocks, sources),
            StftDecoder(WINDOW, stride),
        )
