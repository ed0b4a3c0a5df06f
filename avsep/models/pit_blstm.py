"""Separation by masks of a recurrent network that learnt with a permutation for each meta-frame: frame-level PIT (Yu et
al., 2017)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.base import Output
from avsep.models.limits import check_whole
from avsep.models.masking import MaskingModel
from avsep.models.parts.blstm import Activation
from avsep.models.parts.meta_frames import MOST_SOURCES, meta_frames, overlap_mean, traced
from avsep.models.parts.stft import LogStftEncoder, StftDecoder
from avsep.models.separators.blstm import BLSTMSeparator
from avsep.signals import SAMPLE_RATE


class PitBLSTM(MaskingModel):
    """A fixed number of estimates from one channel, up to 6, in no particular order: at each frame the masks of the
    `span` frames around it, a meta-frame, whose sources come in an order of their own.

    Trained with `OnMasks` of `SpectrumApproximation` or `MaskMse` with each_frame, so that each meta-frame is held
    against the sources in its own best order. In use the sources are followed from one meta-frame to the next by the
    frames that these share (see `avsep.models.parts.meta_frames.traced`), and what overlaps is averaged. trace: false
    leaves every meta-frame in the order that the network gave it.

    layers, hidden, dropout: of the bidirectional LSTM, cells each way. window and hop in samples. activation: see
    `MaskHead`. span: odd; with 1 there is nothing shared, and neighbouring frames are compared. A short one is easier
    to learn and harder to put in order: one wrong step exchanges all that follows.
    """

    paper = "Yu et al., Permutation invariant training"
    year = 2017
    paper_args: ClassVar = {"hidden": 896, "window": 256, "span": 51, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        layers: int = 3,
        hidden: int = 300,
        dropout: float = 0.5,
        window: int = WINDOW,
        hop: int = HOP,
        activation: Activation = "softmax",
        span: int = 7,
        trace: bool = True,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        check_whole(1, MOST_SOURCES, sources=sources)
        check_whole(1, 101, span=span)
        if span % 2 == 0:
            raise ValueError(f"span is {span}; it must be odd, as many frames before one as behind it")
        encoder = LogStftEncoder(window, hop)
        super().__init__(
            encoder,
            BLSTMSeparator(encoder.freq, hidden, layers, sources, dropout, activation, span),
            StftDecoder(window, hop),
            sample_rate=sample_rate,
        )
        self.span, self.trace = span, trace

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq * span, frames), the meta-frames of its spectrum."""
        return meta_frames(self.encoder.transform(waveform), self.span)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> masks (batch, sources, freq * span, frames) and the spectrum (batch, freq * span,
        frames) of meta-frames; no estimates."""
        self.check(mixture)
        features, frames = self.encoder(mixture)
        masks = self.separator(features).mT
        return Output(spectrum=meta_frames(frames.mT, self.span), masks=masks, transform=self.transform)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """Masks of frames (batch, sources, freq, frames), and estimates (batch, sources, 1, time)."""
        self.check(mixture)
        features, frames = self.encoder(mixture)
        masks = self.separator(features).mT
        if self.trace:
            masks = traced(masks, meta_frames(frames.mT, self.span), self.span)
        return self.masked(frames, overlap_mean(masks, self.span).mT, mixture.shape[-1])
