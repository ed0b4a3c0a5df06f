"""Separation by masks of a recurrent network that learnt with one permutation for an utterance: uPIT-BLSTM (Kolbaek et
al., 2017)."""

from __future__ import annotations

from typing import ClassVar

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.masking import MaskingModel
from avsep.models.parts.blstm import Activation
from avsep.models.parts.stft import LogStftEncoder, StftDecoder
from avsep.models.separators.blstm import BLSTMSeparator
from avsep.signals import SAMPLE_RATE


class UPitBLSTM(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order: real masks on the mixture's spectrum.

    Trained with `OnMasks` of `SpectrumApproximation` (masked magnitudes) or of `MaskMse` (IRM, PSM). layers, hidden,
    dropout: of the bidirectional LSTM, cells each way. window and hop in samples. activation: see `MaskHead`.

    The 92.7 million weights that are reported of the paper's best system are those of two such networks, of which the
    second makes the masks of the first better (uPIT-BLSTM-ST); this is one of them.
    """

    paper = "Kolbaek et al., Multitalker speech separation with utterance-level permutation invariant training"
    year = 2017
    published = "9.8 dB SI-SNRi, WSJ0-2mix, with a second such network"
    paper_args: ClassVar = {"hidden": 896, "window": 256, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        layers: int = 3,
        hidden: int = 300,
        dropout: float = 0.5,
        window: int = WINDOW,
        hop: int = HOP,
        activation: Activation = "relu",
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        encoder = LogStftEncoder(window, hop)
        super().__init__(
            encoder,
            BLSTMSeparator(encoder.freq, hidden, layers, sources, dropout, activation),
            StftDecoder(window, hop),
            sample_rate=sample_rate,
        )
