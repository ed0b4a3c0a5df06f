"""Encoder and decoder of several layers (Kadioglu et al., An empirical study of Conv-TasNet, 2020, section 3)."""

from __future__ import annotations

from torch import Tensor, nn

from avsep.models.limits import check_whole
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.layers import PReLU

TAPS = 3
"""Frames that a layer looks at."""


class FrameConv(nn.Conv1d):
    """Convolution over frames, padded with zeros to the same number of frames."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(channels, channels, TAPS, padding=dilation * (TAPS // 2), dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> the same shape."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


def frame_convs(channels: int, layers: int, dilated: bool, reverse: bool = False) -> nn.Sequential:
    """`layers` convolutions over frames, each with a PReLU behind it; with dilations 1, 2, 4, ... if `dilated`, from
    the largest down if `reverse`."""
    check_whole(1, 12, layers=layers)
    dilations = [2**number if dilated else 1 for number in range(layers)]
    ordered = reversed(dilations) if reverse else dilations
    return nn.Sequential(*(module for dilation in ordered for module in (FrameConv(channels, dilation), PReLU())))


class DeepEncoder(Encoder):
    """A linear filter bank and, behind it, layers that each look at a frame and its neighbours. Frames of either sign.

    layers, dilated: see `frame_convs`.
    """

    def __init__(self, filters: int, kernel: int, stride: int, layers: int = 4, dilated: bool = False) -> None:
        super().__init__(filters, kernel, stride)
        self.layers = frame_convs(filters, layers, dilated)

    def filter(self, waveform: Tensor) -> Tensor:
        """Without the padding: (batch, time) -> (batch, (time - K) / S + 1, filters)."""
        return self.layers(self.products(waveform))


class DeepDecoder(Decoder):
    """The mirror image of `DeepEncoder`: layers over frames, then the overlap-add of basis signals."""

    def __init__(self, filters: int, kernel: int, stride: int, layers: int = 4, dilated: bool = False) -> None:
        super().__init__(filters, kernel, stride)
        self.layers = frame_convs(filters, layers, dilated, reverse=True)

    def overlap_add(self, frames: Tensor) -> Tensor:
        """With the padding: (batch, sources, frames, filters) -> (batch, sources, (frames - 1) * S + K)."""
        return super().overlap_add(self.layers(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]))
