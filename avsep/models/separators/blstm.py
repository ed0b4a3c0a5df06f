"""Masks from a bidirectional LSTM over the frames of a spectrum."""

from __future__ import annotations

from torch import Tensor

from avsep.dsp.masks import BOUND, STEEPNESS
from avsep.models.base import Part
from avsep.models.parts.blstm import Activation, ComplexMaskHead, MaskHead, blstm


class BLSTMSeparator(Part):
    """`layers` bidirectional LSTMs of `hidden` cells each way and a `MaskHead`.

    dropout: between layers. span: masks of so many frames, those around a frame, are estimated at every frame.
    """

    def __init__(
        self,
        freq: int,
        hidden: int,
        layers: int,
        sources: int,
        dropout: float = 0.0,
        activation: Activation = "sigmoid",
        span: int = 1,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.lstm = blstm(freq, hidden, layers, dropout)
        self.to_masks = MaskHead(2 * hidden, freq * span, sources, activation)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, freq) -> masks (batch, sources, frames, freq * span)."""
        return self.to_masks(self.lstm(features)[0])


class ComplexBLSTMSeparator(Part):
    """The same with a `ComplexMaskHead`. features: numbers in a frame."""

    def __init__(
        self,
        features: int,
        freq: int,
        hidden: int,
        layers: int,
        sources: int,
        dropout: float = 0.0,
        bound: float = BOUND,
        steepness: float = STEEPNESS,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.lstm = blstm(features, hidden, layers, dropout)
        self.to_masks = ComplexMaskHead(2 * hidden, freq, sources, bound, steepness)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, features) -> complex masks (batch, sources, frames, freq)."""
        return self.to_masks(self.lstm(features)[0])
