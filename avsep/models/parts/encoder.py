"""Learned filter bank: waveform to non-negative frames (Luo and Mesgarani, Conv-TasNet, 2019, eq. 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """N filters of K samples every S samples.

    The waveform is padded by K - S at the start and at the end, so that every sample is covered by equally
    many frames and `Decoder` gives back the same length.
    """

    def __init__(self, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        if kernel % stride:
            raise ValueError(f"encoder kernel {kernel} must be a multiple of its stride {stride}")
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv1d(1, filters, kernel, stride, bias=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> (batch, frames, filters)."""
        edge = self.kernel - self.stride
        return self.filter(F.pad(waveform, (edge, edge + -waveform.shape[-1] % self.stride)))

    def filter(self, waveform: Tensor) -> Tensor:
        """Without the padding: (batch, time) -> (batch, (time - K) / S + 1, filters)."""
        hops = waveform.unflatten(1, (-1, self.stride))
        frames = hops.shape[1] - self.kernel // self.stride + 1
        windows = torch.cat([hops[:, i : i + frames] for i in range(self.kernel // self.stride)], dim=2)
        return torch.relu(F.linear(windows, self.conv.weight.squeeze(1)))
