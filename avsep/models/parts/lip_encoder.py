"""Lip embedding: a 3-D convolution and a ResNet-18 over each picture, then temporal convolution blocks.

Stafylakis and Tzimiropoulos, Combining residual networks with LSTMs for lipreading, 2017 (front end); Wu et al., Time
domain audio visual speech separation, 2019 (temporal blocks).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole

MEAN, DEVIATION = 0.421, 0.165
"""Gray level statistics of mouth crops in 0..1, as the literature uses them."""


class TemporalBlock(nn.Module):
    """Convolution over time (kernel 3, stride 1), ReLU, batch norm, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(channels, channels, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet_stage(entering: int, width: int, stride: int) -> nn.Sequential:
    """Two basic blocks, the first of which changes width and size."""
    # It brings torch's compiler, seconds of loading that only those with lips shall wait for.
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride != 1 or entering != width:
        shortcut = nn.Sequential(nn.Conv2d(entering, width, 1, stride, bias=False), nn.BatchNorm2d(width))
    return nn.Sequential(BasicBlock(entering, width, stride, shortcut), BasicBlock(width, width))


class SeparableBlock(nn.Module):
    """ReLU, batch norm, a depth-wise convolution over time and a 1x1 convolution, residual; the first of a row is the
    two convolutions alone."""

    def __init__(self, entering: int, channels: int, kernel: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.before = nn.Sequential() if first else nn.Sequential(nn.ReLU(), nn.BatchNorm1d(entering))
        self.depthwise = nn.Conv1d(entering, entering, kernel, padding=kernel // 2, groups=entering)
        self.pointwise = nn.Conv1d(entering, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, entering, pictures) -> (batch, channels, pictures)."""
        y = self.pointwise(self.depthwise(self.before(x)))
        return y if self.first else x + y


class LipEncoder(Part):
    """Mouth crops to one embedding a picture.

    channels: size of the embedding. widths: of the four ResNet stages ((64, 128, 256, 512) is ResNet-18).
    temporal_channels and temporal_blocks: of the blocks over time. crop: centre part of the crop that is looked at, in
    pixels. size: side it is scaled to. motion: add, as a second input channel, the picture minus its mean over about
    two seconds, which takes away the person and leaves the movement. mean, deviation: of gray levels in 0..1, which
    are made 0 and 1.

    separable: the blocks over time are `SeparableBlock`s of `temporal_kernel` pictures, as in code that was published
    for Wu et al.: `temporal_channels` enter the first, and the last gives the embedding.
    """

    def __init__(
        self,
        channels: int = 256,
        widths: Sequence[int] = (64, 128, 256, 512),
        temporal_channels: int = 512,
        temporal_blocks: int = 5,
        crop: int = 88,
        size: int = 88,
        motion: bool = False,
        mean: float = MEAN,
        deviation: float = DEVIATION,
        separable: bool = False,
        temporal_kernel: int = 3,
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError(f"widths is {widths}; it must have at least one width")
        for width in widths:
            check_whole(1, MOST_SIZE, width=width)
        check_whole(1, MOST_SIZE, channels=channels, temporal_channels=temporal_channels)
        check_whole(0, 1000, temporal_blocks=temporal_blocks)
        check_whole(1, 256, crop=crop, size=size)
        if not isinstance(motion, bool):
            raise ValueError(f"motion is {motion!r}; it must be true or false")
        if not deviation > 0:
            raise ValueError(f"deviation is {deviation}; it must be above 0")
        if not isinstance(separable, bool):
            raise ValueError(f"separable is {separable!r}; it must be true or false")
        check_whole(1, 1001, temporal_kernel=temporal_kernel)
        if temporal_kernel % 2 == 0 or (temporal_kernel != 3 and not separable):
            raise ValueError(f"temporal_kernel is {temporal_kernel}; it must be odd, and 3 unless separable")
        if separable and not temporal_blocks:
            raise ValueError("temporal_blocks is 0; separable ones are at least 1")
        self.mean, self.deviation = mean, deviation
        self.channels, self.crop, self.size, self.motion = channels, crop, size, motion
        self.stem = nn.Sequential(
            nn.Conv3d(1 + motion, widths[0], (5, 7, 7), (1, 2, 2), (2, 3, 3), bias=False),
            nn.BatchNorm3d(widths[0]),
            nn.PReLU(),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        entering = [widths[0], *widths[:-1]]
        self.trunk = nn.Sequential(
            *(resnet_stage(e, w, 1 if i == 0 else 2) for i, (e, w) in enumerate(zip(entering, widths, strict=True))),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        layers: list[nn.Module] = [nn.Conv1d(widths[-1], temporal_channels, 1)]
        if separable:
            wide = [temporal_channels, *[channels] * (temporal_blocks - 1)]
            layers += [SeparableBlock(width, channels, temporal_kernel, first=not i) for i, width in enumerate(wide)]
        else:
            layers += [TemporalBlock(temporal_channels) for _ in range(temporal_blocks)]
            layers.append(nn.Conv1d(temporal_channels, channels, 1))
        self.temporal = nn.Sequential(*layers)

    def prepares_as(self, other: LipEncoder) -> bool:
        """Whether `prepare` gives what that of the other gives."""
        settings = ("crop", "size", "motion", "mean", "deviation")
        return all(getattr(self, name) == getattr(other, name) for name in settings)

    def prepare(self, lips: Tensor) -> Tensor:
        """(batch, pictures, height, width) in 0..1 -> (batch, input channels, pictures, size, size), normalised."""
        edge = (lips.shape[-1] - self.crop) // 2
        x = lips[..., edge : edge + self.crop, edge : edge + self.crop]
        if self.size != self.crop:
            x = F.interpolate(x, size=(self.size, self.size), mode="area")
        x = (x - self.mean) / self.deviation
        if not self.motion:
            return x.unsqueeze(1)
        pictures = x.shape[1]
        flat = x.flatten(2).transpose(1, 2)
        mean = F.avg_pool1d(flat, 51, 1, 25, count_include_pad=False) if pictures > 1 else flat
        return torch.stack([x, x - mean.transpose(1, 2).unflatten(2, x.shape[2:])], 1)

    def forward(self, lips: Tensor) -> Tensor:
        """(batch, pictures, height, width) in 0..1 -> (batch, pictures, channels)."""
        return self.encode(self.prepare(lips))

    def encode(self, prepared: Tensor) -> Tensor:
        """What `prepare` gives -> (batch, pictures, channels)."""
        x = self.stem(prepared)
        batch, _, pictures = x.shape[:3]
        x = self.trunk(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, pictures))
        return self.temporal(x.transpose(1, 2)).transpose(1, 2)
