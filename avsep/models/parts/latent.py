"""A learned transform and its learned inverse, whose frames lie around every `stride`-th sample (Tzinis et al.,
Two-step sound source separation, 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_OVERLAP, MOST_SIZE, MOST_WINDOW, check_whole


class LatentEncoder(Part):
    """N filters of an odd number of samples, each frame with one of them in its middle, and a rectifier.

    Unlike those of `Encoder` the filters have a bias, their length need not be a multiple of the stride, and the frames
    serve as a spectrum: masks on them can be held against those of the sources' frames.
    """

    def __init__(self, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        _check(filters, kernel, stride)
        self.stride = stride
        self.conv = nn.Conv1d(1, filters, kernel, stride, kernel // 2)

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> (..., filters, frames), not negative; frames = ceil(time / S) + 1."""
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.stride + 1))
        frames = torch.relu(self.conv(padded.reshape(-1, 1, padded.shape[-1])))
        return frames.reshape(*waveform.shape[:-1], *frames.shape[1:])

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features for the separator and what its masks are for: here both are the frames (batch,
        frames, filters)."""
        frames = self.transform(mixture[:, 0]).mT
        return frames, frames


class LatentDecoder(Part):
    """The transposed counterpart of `LatentEncoder`."""

    def __init__(self, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        _check(filters, kernel, stride)
        self.conv = nn.ConvTranspose1d(filters, 1, kernel, stride, kernel // 2)

    def forward(self, frames: Tensor, time: int) -> Tensor:
        """(batch, sources, frames, filters) -> (batch, sources, time)."""
        waveforms = self.conv(frames.flatten(0, 1).mT)
        return waveforms.unflatten(0, frames.shape[:2]).squeeze(2)[..., :time]


def ideal_latent_masks(sources: Tensor) -> Tensor:
    """Frames of the sources (batch, sources, filters, frames), not negative -> masks of that shape that sum to 1: the
    softmax over the sources."""
    return sources.softmax(1)


def _check(filters: int, kernel: int, stride: int) -> None:
    check_whole(1, MOST_SIZE, filters=filters)
    check_whole(1, MOST_WINDOW, kernel=kernel, stride=stride)
    if kernel % 2 == 0 or not stride <= kernel <= MOST_OVERLAP * stride:
        raise ValueError(
            f"kernel {kernel} and stride {stride}; the kernel must be odd, at least as long as the stride and at most "
            f"{MOST_OVERLAP} times as long"
        )
