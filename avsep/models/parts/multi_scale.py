"""Learned filter banks of several window lengths side by side (Xu et al., SpEx, 2020, section II-B)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import check_whole
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder

MOST_SCALES = 8


class MultiScaleEncoder(Part):
    """`filters` of each kernel, in samples, the shortest first; all with half of the shortest as their stride.

    A frame of every scale is centred on the same sample: the signal is padded by half a kernel on either side.
    """

    def __init__(self, filters: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.kernels, self.stride = tuple(kernels), _stride(kernels)
        self.filters = filters * len(kernels)
        self.scales = nn.ModuleList(Encoder(filters, kernel, self.stride) for kernel in kernels)

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, 1, time) -> (batch, frames, scales * filters), not negative."""
        waveform = F.pad(mixture[:, 0], (0, -mixture.shape[-1] % self.stride))
        made = [
            encoder.filter(F.pad(waveform, (kernel // 2, kernel - kernel // 2)))  # type: ignore[operator]
            for kernel, encoder in zip(self.kernels, self.scales, strict=True)
        ]
        return torch.cat(made, dim=2)


class MultiScaleDecoder(Part):
    """The counterpart of `MultiScaleEncoder`: a waveform from each scale."""

    def __init__(self, filters: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.kernels, self.stride = tuple(kernels), _stride(kernels)
        self.scales = nn.ModuleList(Decoder(filters, kernel, self.stride) for kernel in kernels)

    def forward(self, frames: Tensor, time: int, scales: int | None = None) -> list[Tensor]:
        """(batch, sources, frames, scales * filters) -> (batch, sources, time) of each scale, or of the first few."""
        parts = zip(self.kernels, self.scales, frames.chunk(len(self.kernels), dim=3), strict=True)
        return [
            decoder.overlap_add(part)[..., kernel // 2 : kernel // 2 + time]  # type: ignore[operator]
            for kernel, decoder, part in list(parts)[:scales]
        ]


def _stride(kernels: Sequence[int]) -> int:
    check_whole(1, MOST_SCALES, scales=len(kernels))
    for kernel in kernels:
        check_whole(2, 100_000, kernel=kernel)
    if list(kernels) != sorted(set(kernels)) or kernels[0] % 2:
        raise ValueError(f"kernels are {list(kernels)}; they must grow, and the first must be even")
    return kernels[0] // 2
