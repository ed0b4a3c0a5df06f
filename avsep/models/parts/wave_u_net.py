"""The layers of Wave-U-Net: raw samples at many resolutions (Stoller, Ewert and Dixon, 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.levels import level_of


class WaveUNetLayers(Part):
    """`inputs` channels to `outputs` channels of the same length, at the level that the input has.

    Every level down has `filters` more channels and half of the samples; on the way up samples are interpolated
    linearly, and joined by what the level had on the way down. kernel: of convolutions on the way down, up_kernel: on
    the way up, both odd. stride: samples after which all levels lie on the signal as before.
    """

    def __init__(
        self, inputs: int, outputs: int, filters: int = 24, layers: int = 12, kernel: int = 15, up_kernel: int = 5
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters)
        check_whole(1, 16, layers=layers)
        check_whole(1, 1001, kernel=kernel, up_kernel=up_kernel)
        if kernel % 2 == 0 or up_kernel % 2 == 0:
            raise ValueError(f"kernel {kernel} and up_kernel {up_kernel}; both must be odd")
        self.stride = 2**layers
        sizes = [inputs, *(filters * level for level in range(1, layers + 2))]
        self.down = nn.ModuleList(_layer(sizes[n], sizes[n + 1], kernel) for n in range(layers))
        self.lowest = _layer(sizes[-2], sizes[-1], kernel)
        self.up = nn.ModuleList(_layer(sizes[n + 1] + sizes[n], sizes[n], up_kernel) for n in range(layers, 0, -1))
        self.leave = nn.Conv1d(filters + inputs, outputs, 1)

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, inputs, time) -> (batch, outputs, time)."""
        mixture = full_precision(mixture)
        level = level_of(mixture)
        x = mixture / level
        passed = [x]
        for layer in self.down:
            full = layer(x)
            passed.append(full)
            x = full[..., ::2]
        x = self.lowest(x)
        for layer in self.up:
            beside = passed.pop()
            x = layer(torch.cat([interpolated(x, beside.shape[-1]), beside], dim=1))
        return self.leave(torch.cat([x, passed.pop()], dim=1)) * level


def interpolated(x: Tensor, time: int) -> Tensor:
    """Every second sample -> all of them, those between being the mean of their neighbours: (batch, channels, ceil(time
    / 2)) -> (batch, channels, time)."""
    between = functional.interpolate(x, size=2 * x.shape[-1] - 1, mode="linear", align_corners=True)
    return functional.pad(between, (0, time - between.shape[-1]), mode="replicate")


def _layer(before: int, after: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(before, after, kernel, padding=kernel // 2), nn.LeakyReLU(0.2))
