"""Overlap-add of learned basis signals: frames back to a waveform."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_filters, check_whole


class Decoder(Part):
    """The transposed counterpart of `Encoder`; it cuts off the padding the encoder added. padded: as there.

    bias: a constant is added to the waveform.
    """

    def __init__(self, filters: int, kernel: int, stride: int, padded: bool = True, bias: bool = False) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters)
        check_filters(kernel, stride)
        self.kernel, self.stride, self.padded = kernel, stride, padded
        self.conv = nn.ConvTranspose1d(filters, 1, kernel, stride, bias=bias)

    def forward(self, frames: Tensor, time: int) -> Tensor:
        """(batch, sources, frames, filters) -> (batch, sources, time)."""
        edge = self.kernel - self.stride if self.padded else 0
        return self.with_bias(self.overlap_add(frames)[..., edge : edge + time])

    def with_bias(self, waveform: Tensor) -> Tensor:
        """(batch, sources, time) -> the same shape; parts that `overlap_add` gives are added up before."""
        return waveform if self.conv.bias is None else waveform + self.conv.bias

    def overlap_add(self, frames: Tensor) -> Tensor:
        """With the padding: (batch, sources, frames, filters) -> (batch, sources, (frames - 1) * S + K)."""
        windows = F.linear(frames, self.conv.weight.squeeze(1).t())
        hops = windows.unflatten(3, (-1, self.stride)).unbind(3)
        last = len(hops) - 1
        return torch.stack([F.pad(hop, (0, 0, i, last - i)) for i, hop in enumerate(hops)]).sum(0).flatten(2)
