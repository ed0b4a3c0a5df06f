"""Overlap-add of learned basis signals: frames back to a waveform."""

from __future__ import annotations

from torch import Tensor, nn


class Decoder(nn.Module):
    """The transposed counterpart of `Encoder`; it cuts off the padding the encoder added."""

    def __init__(self, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.edge = kernel - stride
        self.conv = nn.ConvTranspose1d(filters, 1, kernel, stride, bias=False)

    def forward(self, frames: Tensor, time: int) -> Tensor:
        """(batch, sources, filters, frames) -> (batch, sources, time)."""
        batch, sources = frames.shape[:2]
        waveform = self.conv(frames.flatten(0, 1)).squeeze(1)
        return waveform[:, self.edge : self.edge + time].unflatten(0, (batch, sources))
