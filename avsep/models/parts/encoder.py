"""Learned filter bank: waveform to frames (Luo and Mesgarani, Conv-TasNet, 2019, eq. 2)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_filters, check_whole

Activation = Literal["relu", "gelu", "none"]


class Encoder(Part):
    """N filters of K samples every S samples, of one channel.

    The waveform is padded by K - S at the start and at the end, so that every sample is covered by equally
    many frames and `Decoder` gives back the same length. activation: of the filters' outputs; frames are non-negative
    with "relu" only.
    """

    transform = None
    """It has no spectrum."""

    def __init__(self, filters: int, kernel: int, stride: int, activation: Activation = "relu") -> None:
        super().__init__()
        if activation not in get_args(Activation):
            raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(get_args(Activation))}")
        check_whole(1, MOST_SIZE, filters=filters)
        check_filters(kernel, stride)
        self.kernel, self.stride, self.activation = kernel, stride, activation
        self.conv = nn.Conv1d(1, filters, kernel, stride, bias=False)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features for the separator and what its masks are for: here both are the frames (batch,
        frames, filters)."""
        edge = self.kernel - self.stride
        frames = self.filter(F.pad(mixture[:, 0], (edge, edge + -mixture.shape[-1] % self.stride)))
        return frames, frames

    def filter(self, waveform: Tensor) -> Tensor:
        """Without the padding: (batch, time) -> (batch, (time - K) / S + 1, filters)."""
        hops = waveform.unflatten(1, (-1, self.stride))
        frames = hops.shape[1] - self.kernel // self.stride + 1
        windows = torch.cat([hops[:, i : i + frames] for i in range(self.kernel // self.stride)], dim=2)
        outputs = F.linear(windows, self.conv.weight.squeeze(1))
        if self.activation == "none":
            return outputs
        return F.gelu(outputs) if self.activation == "gelu" else torch.relu(outputs)
