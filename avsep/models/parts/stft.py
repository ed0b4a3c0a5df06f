"""The short-time Fourier transform as the encoder and decoder of a masking model."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.dsp.stft import HOP, WINDOW, full_precision, istft, power_law, stft
from avsep.models.base import Part
from avsep.models.limits import check_spectra

FLOOR = 1e-3
"""Of magnitudes before their logarithm, against the loudest: -60 dB."""


def log_magnitudes(spectrum: Tensor) -> Tensor:
    """Of a complex spectrum (batch, freq, frames), of mean 0 and deviation 1: free of the level of the item."""
    size = spectrum.abs()
    floor = FLOOR * size.amax((1, 2), keepdim=True) + 1e-10
    logs = (size + floor).log()
    mean = logs.mean((1, 2), keepdim=True)
    return (logs - mean) / (logs.std((1, 2), keepdim=True) + 1e-5)


class StftEncoder(Part):
    """Magnitudes for the separator, complex bins for its masks. window and stride in samples (see `avsep.dsp.stft`).

    power: magnitudes are raised to it, which lifts quiet bins. points: of the Fourier transform, the window's unless
    given.
    """

    def __init__(self, window: int = WINDOW, stride: int = HOP, power: float = 0.3, points: int | None = None) -> None:
        super().__init__()
        check_spectra(window, stride, points)
        if not 0 < power <= 2:
            raise ValueError(f"power is {power}; it must be above 0 and at most 2")
        self.window, self.stride, self.power, self.points = window, stride, power, points or window
        self.filters = self.points // 2 + 1

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.stride, self.points)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features (batch, frames, freq), complex bins (batch, frames, freq)."""
        bins = self.transform(mixture[:, 0]).mT
        # The root's slope at 0 is infinite.
        return bins.abs().clamp_min(1e-8) ** self.power, bins


class LogStftEncoder(Part):
    """`log_magnitudes` for the separator, complex bins for its masks; window and stride as of `StftEncoder`."""

    def __init__(self, window: int = WINDOW, stride: int = HOP) -> None:
        super().__init__()
        check_spectra(window, stride)
        self.window, self.stride = window, stride
        self.freq = window // 2 + 1

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.stride)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features (batch, frames, freq), complex bins (batch, frames, freq)."""
        spectrum = self.transform(mixture[:, 0])
        return log_magnitudes(spectrum).mT, spectrum.mT


class CompressedStftEncoder(Part):
    """Compressed complex bins for the separator, complex bins for its masks; window and stride as of `StftEncoder`.

    The signal is brought to a deviation of 1 first. A bin S of magnitude m gives three features: Re S and Im S times
    m^(power - 1), which is a magnitude of m^power with its phase, and ln(m) / 2.
    """

    def __init__(self, window: int = WINDOW, stride: int = HOP, power: float = 0.3) -> None:
        super().__init__()
        check_spectra(window, stride)
        if not 0 < power <= 2:
            raise ValueError(f"power is {power}; it must be above 0 and at most 2")
        self.window, self.stride, self.power = window, stride, power
        self.freq = window // 2 + 1

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.stride)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> features (batch, frames, 3 * freq), complex bins (batch, frames, freq)."""
        x = full_precision(mixture[:, 0])
        bins = self.transform(x).mT
        level = x.square().mean(-1).sqrt().clamp_min(1e-5)[:, None, None]
        return self.compressed(bins / level), bins

    def compressed(self, scaled: Tensor) -> Tensor:
        """Complex bins (batch, frames, freq) of a signal of deviation 1 -> features (batch, frames, 3 * freq)."""
        logs = scaled.abs().clamp_min(1e-3).log() / 2
        scaled = power_law(scaled, self.power)
        return torch.cat([scaled.real, scaled.imag, logs], dim=2)


class StftDecoder(Part):
    """The inverse of `StftEncoder` with the same window, stride and points."""

    def __init__(self, window: int = WINDOW, stride: int = HOP, points: int | None = None) -> None:
        super().__init__()
        check_spectra(window, stride, points)
        self.window, self.stride, self.points = window, stride, points or window

    def forward(self, bins: Tensor, time: int) -> Tensor:
        """Complex (batch, sources, frames, freq) -> (batch, sources, time)."""
        return istft(bins.mT, time, self.window, self.stride, self.points)
