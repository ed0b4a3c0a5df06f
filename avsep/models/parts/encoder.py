"""Learned filter bank: waveform to non-negative frames (Luo and Mesgarani, Conv-TasNet, 2019, eq. 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_filters, check_whole


class Encoder(Part):
    """N filters of K samples every S samples, of one channel.

    The waveform is padded by K - S at the start and at the end, so that every sample is covered by equally
    many frames and `Decoder` gives back the same length; unless it is `padded` only at the end, as far as the last
    frame needs. rectified: frames are not negative. bias: each filter adds a constant before that.
    """

    transform = None
    """It has no spectrum."""

    def __init__(
        self,
        filters: int,
        kernel: int,
        stride: int,
        rectified: bool = True,
        padded: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters)
        check_filters(kernel, stride)
        self.kernel, self.stride, self.rectified, self.padded = kernel, stride, rectified, padded
        self.edge = kernel - stride
        self.conv = nn.Conv1d(1, filters, kernel, stride, bias=bias)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features for the separator and what its masks are for: here both are the frames (batch,
        frames, filters)."""
        edge, time = self.edge, mixture.shape[-1]
        missing = -time % self.stride
        before, after = (edge, edge + missing) if self.padded else (0, max(missing, self.kernel - time))
        frames = self.filter(F.pad(mixture[:, 0], (before, after)))
        return self.features(frames), frames

    def features(self, frames: Tensor) -> Tensor:
        """The frames as they are."""
        return frames

    def filter(self, waveform: Tensor) -> Tensor:
        """Without the padding: (batch, time) -> (batch, (time - K) / S + 1, filters)."""
        products = self.products(waveform)
        return torch.relu(products) if self.rectified else products

    def products(self, waveform: Tensor) -> Tensor:
        """The same with their signs."""
        hops = waveform.unflatten(1, (-1, self.stride))
        frames = hops.shape[1] - self.kernel // self.stride + 1
        windows = torch.cat([hops[:, i : i + frames] for i in range(self.kernel // self.stride)], dim=2)
        return F.linear(windows, self.conv.weight.squeeze(1), self.conv.bias)
