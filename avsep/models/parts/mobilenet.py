"""Layers of a MobileNet over a spectrogram that slide by one frame: a patch is never cut out.

A stride over time leaves out frames; the same layer without it, all layers above it with their taps as many frames
apart, gives what it would give for a patch that begins at any frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.limits import MOST_SIZE, check_whole


class Layer(nn.Module):
    """A 3 x 3 convolution, batch norm and ReLU; a depthwise-separable one has one filter a channel, and a 1 x 1
    convolution, batch norm and ReLU behind it.

    mel_stride, time_stride: with `pooled`, the convolution has no stride and the mean of as many is taken behind it.
    padded: with zeros over time too, so that a frame gives a frame; over mel bands it always is.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        mel_stride: int,
        time_stride: int,
        separable: bool = True,
        pooled: bool = False,
        padded: bool = False,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, channels=outputs)
        check_whole(1, 64, mel_stride=mel_stride, time_stride=time_stride)
        self.strides, self.pooled, self.padded = (mel_stride, time_stride), pooled, padded
        middle = inputs if separable else outputs
        self.spatial = nn.Conv2d(inputs, middle, 3, groups=inputs if separable else 1, bias=False)
        self.spatial_norm = nn.BatchNorm2d(middle)
        self.mix = nn.Conv2d(inputs, outputs, 1, bias=False) if separable else None
        self.mix_norm = nn.BatchNorm2d(outputs) if separable else None

    def shrinkage(self) -> int:
        """Frames, at the rate of its input, by which what comes out is shorter."""
        return (0 if self.padded else 2) + (self.strides[1] - 1 if self.pooled else 0)

    def forward(self, x: Tensor, spread: int = 1, every_frame: bool = False) -> Tensor:
        """(batch, inputs, mels, frames) -> (batch, outputs, mels, frames). spread: frames between its taps.
        every_frame: without its stride over time."""
        mel, time = self.strides
        step = 1 if every_frame else time
        strides = (1, 1) if self.pooled else (mel, step)
        padding = (1, spread if self.padded else 0)
        x = functional.conv2d(x, self.spatial.weight, None, strides, padding, (1, spread), self.spatial.groups)
        if self.pooled and every_frame:
            x = functional.avg_pool2d(x, (mel, 1))
            x = torch.stack(windows(x, time, spread)).mean(0) if time > 1 else x
        elif self.pooled and mel * time > 1:
            x = functional.avg_pool2d(x, (mel, time))
        x = self.spatial_norm(x).relu()
        return x if self.mix is None or self.mix_norm is None else self.mix_norm(self.mix(x)).relu()


def windows(x: Tensor, count: int, spread: int) -> list[Tensor]:
    """(..., frames) at `count` places that are `spread` frames apart: each (..., frames - (count - 1) * spread)."""
    length = x.shape[-1] - (count - 1) * spread
    return [x[..., place * spread : place * spread + length] for place in range(count)]
