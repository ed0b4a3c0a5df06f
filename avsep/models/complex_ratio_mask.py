"""Separation by complex masks, for magnitude and phase: complex ratio masks (Williamson, Wang and Wang, 2016)."""

from __future__ import annotations

from avsep.dsp.masks import BOUND, STEEPNESS
from avsep.dsp.stft import HOP, WINDOW
from avsep.models.masking import MaskingModel
from avsep.models.parts.stft import CompressedStftEncoder, StftDecoder
from avsep.models.separators.blstm import ComplexBLSTMSeparator
from avsep.signals import SAMPLE_RATE


class ComplexRatioMaskBLSTM(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order: complex masks on the mixture's spectrum.

    Trained with `OnMasks` of `ComplexMaskMse`, or with a loss of waveforms. bound, steepness: K and C of the compressed
    masks that the network estimates (see `avsep.dsp.masks.compressed`). layers, hidden, dropout: of the bidirectional
    LSTM, cells each way. window and hop in samples.

    The paper separates speech from noise with a network without recurrence, three layers of 1024 units, given features
    of its own; here sources are separated that come in any order, by a bidirectional LSTM, given the mixture's bins.
    """

    paper = "Williamson et al., Complex ratio masking"
    year = 2016

    def __init__(
        self,
        sources: int = 2,
        layers: int = 3,
        hidden: int = 300,
        dropout: float = 0.3,
        window: int = WINDOW,
        hop: int = HOP,
        bound: float = BOUND,
        steepness: float = STEEPNESS,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        encoder = CompressedStftEncoder(window, hop)
        super().__init__(
            encoder,
            ComplexBLSTMSeparator(3 * encoder.freq, encoder.freq, hidden, layers, sources, dropout, bound, steepness),
            StftDecoder(window, hop),
            sample_rate=sample_rate,
        )
