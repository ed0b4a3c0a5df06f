"""A short-time Fourier transform for streams: it looks at a long window of the past and is late by a short one.

The analysis window rises slowly and falls within one stride; the synthesis window is two strides long, at the end of
the other, and the product of both is a Hann window (Mauler and Martin, A low delay, variable resolution, perfect
reconstruction spectral analysis-synthesis system, 2007). So masks of fine frequency resolution come with the latency of
a short frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Part
from avsep.models.limits import check_spectra
from avsep.models.parts.stft import CompressedStftEncoder


class CumulativeLevel(nn.Module):
    """The root of the mean of all powers up to the present frame."""

    def forward(self, power: Tensor) -> Tensor:
        """Mean powers of frames (batch, frames, 1) -> levels, the same shape."""
        count = torch.arange(1, power.shape[1] + 1, device=power.device, dtype=power.dtype)
        return (power.cumsum(1) / count[:, None]).sqrt()


class CausalStftEncoder(CompressedStftEncoder):
    """The features of `CompressedStftEncoder`, scaled by the level of what went by, and complex bins for the masks.

    window: of the analysis; stride: half of that of the synthesis; both in samples, window at least twice the stride.
    Frame n ends with sample (n + 1) * stride; before the first sample there is silence.
    """

    shape: Tensor

    def __init__(self, window: int, stride: int, power: float = 0.3) -> None:
        super().__init__(window, stride, power)
        self.edge = window - stride
        self.level = CumulativeLevel()
        self.register_buffer("shape", analysis_window(window, stride), persistent=False)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features (batch, frames, 3 * freq), complex bins (batch, frames, freq)."""
        bins = self.bins_of(mixture[:, 0])
        return self.features(bins), bins

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames), frames = 1 + ceil(time / stride)."""
        bins = self.bins_of(waveform.reshape(-1, waveform.shape[-1]))
        return bins.mT.reshape(*waveform.shape[:-1], *bins.mT.shape[-2:])

    def bins_of(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> complex (batch, frames, freq)."""
        return self.filter(F.pad(waveform, (self.edge, self.stride + -waveform.shape[-1] % self.stride)))

    def filter(self, waveform: Tensor) -> Tensor:
        """Without the padding: (batch, time) -> complex (batch, (time - window) / stride + 1, freq)."""
        frames = full_precision(waveform).unfold(1, self.window, self.stride)
        return torch.fft.rfft(frames * self.shape)

    def features(self, bins: Tensor) -> Tensor:
        """Complex bins (batch, frames, freq) -> features (batch, frames, 3 * freq)."""
        # A deviation of 1 in the waveform is one of the root of the window's energy in the bins.
        power = torch.view_as_real(bins).square().sum(3).mean(2, keepdim=True) / self.shape.square().sum()
        return self.compressed(bins / self.level(power).clamp_min(1e-5))


class CausalStftDecoder(Part):
    """The inverse of `CausalStftEncoder` with the same window and stride."""

    shape: Tensor

    def __init__(self, window: int, stride: int) -> None:
        super().__init__()
        check_spectra(window, stride)
        self.window, self.stride, self.kernel = window, stride, 2 * stride
        self.register_buffer("shape", synthesis_window(window, stride), persistent=False)

    def forward(self, bins: Tensor, time: int) -> Tensor:
        """Complex (batch, sources, frames, freq) -> (batch, sources, time)."""
        return self.overlap_add(bins)[..., self.stride : self.stride + time]

    def overlap_add(self, bins: Tensor) -> Tensor:
        """With what comes before the first sample: complex (batch, sources, frames, freq) -> (batch, sources, (frames +
        1) * stride)."""
        frames = torch.fft.irfft(bins, self.window)[..., -self.kernel :] * self.shape
        first, second = frames.unflatten(3, (2, self.stride)).unbind(3)
        return (F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))).flatten(2)

    def with_bias(self, waveform: Tensor) -> Tensor:
        """There is none."""
        return waveform


def analysis_window(window: int, stride: int) -> Tensor:
    """(window): the root of half a Hann window of the rise, then of half a one of two strides."""
    rise = window - stride
    return torch.cat([_hann(2 * rise)[:rise], _hann(2 * stride)[stride:]]).sqrt().float()


def synthesis_window(window: int, stride: int) -> Tensor:
    """(2 * stride): with the end of the analysis window a Hann window, of which strides add up to 1."""
    return (_hann(2 * stride) / analysis_window(window, stride)[-2 * stride :].clamp_min(1e-5)).float()


def _hann(samples: int) -> Tensor:
    """In double precision, as the root of its ends would be coarse."""
    return torch.hann_window(samples, dtype=torch.float64)
