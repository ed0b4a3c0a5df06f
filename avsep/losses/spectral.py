"""Losses of masks over the mixture's spectrum."""

from __future__ import annotations

from typing import get_args

import torch
from torch import Tensor, nn

from avsep.dsp.masks import MaskKind, ideal_masks
from avsep.dsp.stft import HOP, WINDOW, full_precision, stft
from avsep.errors import UsageError
from avsep.losses.order import matched_mean

MOST_MASK = 10.0


def _held_against(estimates: Tensor, targets: Tensor, in_any_order: bool) -> Tensor:
    """Mean square difference of (batch, sources, freq, frames) each -> (batch,)."""
    if estimates.shape != targets.shape:
        raise ValueError(
            f"masks {tuple(estimates.shape)}; expected (batch, sources, freq, frames) as the sources' spectra have it, "
            f"{tuple(targets.shape)}"
        )
    if not in_any_order:
        return (estimates - targets).square().mean((1, 2, 3))
    return matched_mean((estimates.unsqueeze(2) - targets.unsqueeze(1)).square().mean((-2, -1)))


class MaskLoss(nn.Module):
    """A loss of masks (batch, sources, freq, frames), given the complex spectra of the sources (the same shape) and of
    the mixture (batch, freq, frames), -> (batch,)."""


class MaskMse(MaskLoss):
    """Mean square error of estimated masks to ideal ones (Wang et al., 2014).

    For models that estimate masks in 0..1 on an STFT. kind: see `avsep.dsp.masks.ideal_masks`. in_any_order: under
    the best permutation (Kolbaek et al., 2017). weighted: every bin counts with the power that the mixture has there,
    against the mean of all bins (Luo et al., 2018, eq. 13); else the quiet ones count like the others. The bound is 0.
    """

    def __init__(self, kind: MaskKind = "PSM", in_any_order: bool = True, weighted: bool = False) -> None:
        super().__init__()
        if kind not in get_args(MaskKind):
            raise UsageError(f"mask kind is {kind!r}, expected one of {', '.join(get_args(MaskKind))}")
        self.kind, self.in_any_order, self.weighted = kind, in_any_order, weighted

    def forward(self, masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """Masks (batch, sources, freq, frames), complex STFTs of the sources (the same shape) and of the mixture
        (batch, freq, frames) -> (batch,)."""
        masks, ideal = full_precision(masks), ideal_masks(self.kind, sources, mixture)
        if self.weighted:
            size = full_precision(mixture).abs().unsqueeze(1)
            weights = size / (size.square().mean((-2, -1), keepdim=True).sqrt() + 1e-12)
            masks, ideal = weights * masks, weights * ideal
        return _held_against(masks, ideal, self.in_any_order)


class SpectrumApproximation(MaskLoss):
    """Mean square error of the masked magnitude to the source's (Weninger et al., 2014).

    For models that estimate real masks on an STFT. phase_sensitive: to the part of the source in phase with the
    mixture (Erdogan et al., 2015), so that the mask makes up for the mixture's phase. in_any_order: under the best
    permutation (Kolbaek et al., 2017). Relative to the mean power of the mixture's bins, so that the level of the
    item changes nothing. The bound is 0.
    """

    def __init__(self, phase_sensitive: bool = True, in_any_order: bool = True) -> None:
        super().__init__()
        self.phase_sensitive, self.in_any_order = phase_sensitive, in_any_order

    def forward(self, masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """Masks (batch, sources, freq, frames), complex STFTs of the sources (the same shape) and of the mixture
        (batch, freq, frames) -> (batch,)."""
        sources, mixture = full_precision(sources), full_precision(mixture).unsqueeze(1)
        size = mixture.abs()
        targets = sources.abs()
        if self.phase_sensitive:
            targets = (sources * torch.exp(-1j * mixture.angle())).real
        level = size.square().mean((-3, -2, -1)) + 1e-12
        return _held_against(full_precision(masks) * size, targets, self.in_any_order) / level


class OnWaveforms(nn.Module):
    """A mask loss for models that estimate waveforms: their masks are the estimates' magnitudes over the mixture's.

    Bins 40 dB below the mixture's mean power are divided by that level, and masks end at 10, so that no bin where the
    mixture is silent outweighs the rest. window and hop in samples.
    """

    def __init__(self, loss: MaskLoss | None = None, window: int = WINDOW, hop: int = HOP) -> None:
        super().__init__()
        self.loss = loss or SpectrumApproximation(phase_sensitive=False)
        self.window, self.hop = window, hop

    def forward(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """(batch, sources, time) twice, (batch, time) -> (batch,)."""
        spectrum = stft(mixture, self.window, self.hop)
        size = spectrum.abs()
        quiet = 0.01 * size.square().mean((-2, -1), keepdim=True).sqrt() + 1e-12
        masks = stft(estimates, self.window, self.hop).abs() / size.maximum(quiet).unsqueeze(1)
        return self.loss(masks.clamp_max(MOST_MASK), stft(sources, self.window, self.hop), spectrum)
