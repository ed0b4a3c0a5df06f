"""Windows of several microphones with what lies around them: correlation features, and filters that are predicted for
each window (FaSNet; Luo et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.models.limits import MOST_OVERLAP, MOST_WINDOW, check_whole

QUIET = 1e-6
"""Energy of a window against the mean of its channel that counts as silence: below it a correlation tells of rounding
only."""


@dataclass(frozen=True)
class ContextWindows:
    """Windows of `window` samples in steps of half of it, each with `context` samples before and behind it.

    Correlations go through the Fourier transform of a window with its context, which is made once for all of them.
    size: samples of a window with its context. taps: of a filter that gives a window from it, and lags of a
    correlation: one more than twice the context.
    """

    window: int
    context: int

    def __post_init__(self) -> None:
        check_whole(2, MOST_WINDOW, window=self.window)
        check_whole(1, MOST_WINDOW, context=self.context)
        if self.window % 2 or self.size > MOST_OVERLAP * self.hop:
            raise ValueError(
                f"window {self.window} and context {self.context}; the window must be even, and with its context at "
                f"most {MOST_OVERLAP // 2} times as long"
            )

    @property
    def hop(self) -> int:
        return self.window // 2

    @property
    def size(self) -> int:
        return self.window + 2 * self.context

    @property
    def taps(self) -> int:
        return 2 * self.context + 1

    def cut(self, x: Tensor) -> Tensor:
        """(batch, microphones, time) -> (batch, microphones, frames, size), frames = ceil(time / hop) + 1; beyond the
        ends there is silence."""
        return self._padded(x).unfold(2, self.size, self.hop)

    def middle(self, contexts: Tensor) -> Tensor:
        """The windows without their context: (..., size) -> (..., window)."""
        return contexts[..., self.context : self.context + self.window]

    def energies(self, x: Tensor) -> Tensor:
        """Of the part that each lag holds a window against: (batch, microphones, time) -> (batch, microphones, frames,
        taps)."""
        sums = functional.avg_pool1d(self._padded(x).square(), self.window, 1) * self.window
        return sums.unfold(2, self.taps, self.hop)

    def spectra(self, contexts: Tensor) -> Tensor:
        """(..., size) -> complex (..., size // 2 + 1)."""
        return torch.fft.rfft(full_precision(contexts), self.size)

    def correlate(self, windows: Tensor, spectra: Tensor, energies: Tensor) -> Tensor:
        """Normalised cross-correlation of windows (..., frames, window) with windows in their context, given as
        `spectra` and `energies`, the leading dimensions being broadcast: (..., frames, taps) in -1..1."""
        windows = full_precision(windows)
        products = self._through(windows, spectra)[..., : self.taps]
        own = _audible(windows.square().sum(-1, keepdim=True))
        return products / (own * _audible(energies)).sqrt()

    def filtered(self, filters: Tensor, spectra: Tensor, weights: Tensor) -> Tensor:
        """What filters give of all microphones: filters (batch, microphones, sources, frames, taps), spectra (batch,
        microphones, frames, freq), weights (batch, microphones) -> windows (batch, sources, frames, window)."""
        products = self._product(full_precision(filters) * weights[..., None, None, None], spectra.unsqueeze(2))
        return torch.fft.irfft(products.sum(1), self.size)[..., : self.window]

    def overlap_add(self, windows: Tensor, time: int) -> Tensor:
        """(..., frames, window) -> (..., time), the sum of the two windows that each sample is in."""
        first, second = windows.split(self.hop, dim=-1)
        total = functional.pad(first, (0, 0, 0, 1)) + functional.pad(second, (0, 0, 1, 0))
        return total.flatten(-2)[..., self.hop : self.hop + time]

    def _through(self, short: Tensor, spectra: Tensor) -> Tensor:
        return torch.fft.irfft(self._product(short, spectra), self.size)

    def _product(self, short: Tensor, spectra: Tensor) -> Tensor:
        """The spectrum of a correlation. It is circular, but a window or filter of n samples wraps round only from lag
        size - n + 1 on, which nobody asks for."""
        return torch.fft.rfft(short, self.size).conj() * spectra

    def _padded(self, x: Tensor) -> Tensor:
        edge = self.hop + self.context
        return functional.pad(full_precision(x), (edge, edge + -x.shape[-1] % self.hop))


def _audible(energy: Tensor) -> Tensor:
    """Energies (..., frames, lags), at least what counts as silence."""
    floor = QUIET * energy.detach().mean((-2, -1), keepdim=True)
    return torch.maximum(energy, floor.clamp_min(1e-20))
