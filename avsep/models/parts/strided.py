"""Fewer frames, and as many again: layers of networks that look at several time scales."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class StridedDepthwiseConv(nn.Conv1d):
    """Depth-wise convolution at every `stride`-th frame, padded with zeros by half the kernel: (batch, frames,
    channels) -> (batch, ceil(frames / stride), channels). kernel: odd."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; it must be odd")
        super().__init__(channels, channels, kernel, stride, kernel // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        # As an image of one row whose channels come last, which oneDNN is made for: two to ten times as fast.
        image = x.transpose(1, 2).unsqueeze(2)
        weight = self.weight.unsqueeze(2)
        stride, padding = (1, self.stride[0]), (0, self.kernel_size[0] // 2)
        made = F.conv2d(image, weight, self.bias, stride, padding, groups=self.groups)
        return made.squeeze(2).transpose(1, 2)


def stretched(x: Tensor, frames: int) -> Tensor:
    """Each frame as often as it takes to come to `frames` of them, nearest neighbours: (batch, fewer, channels) ->
    (batch, frames, channels)."""
    times = -(-frames // x.shape[1])
    return x.repeat_interleave(times, 1)[:, :frames]
