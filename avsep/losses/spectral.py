"""Losses of masks over the mixture's spectrum."""

from __future__ import annotations

import math
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from avsep.dsp.masks import BOUND, STEEPNESS, MaskKind, check_compression, complex_ratio_masks, compressed, ideal_masks
from avsep.dsp.stft import HOP, WINDOW, full_precision, stft
from avsep.errors import UsageError
from avsep.losses.order import matched_mean

MOST_MASK = 10.0


EXHAUSTIVE_TO = 5
"""Sources up to which frames try all permutations at once: the Hungarian algorithm would take one frame at a time."""


class MaskLoss(nn.Module):
    """A loss of masks (batch, sources, freq, frames), given the complex spectra of the sources (the same shape) and of
    the mixture (batch, freq, frames), -> (batch,).

    in_any_order: under the best permutation of a whole item (utterance-level training, Kolbaek et al., 2017).
    each_frame: under the best one of each frame on its own (Yu et al., 2017), for models that put the frames in order
    afterwards; only with in_any_order. takes_complex: whether complex masks will do.
    """

    takes_complex: ClassVar[bool] = False

    def __init__(self, in_any_order: bool = True, each_frame: bool = False) -> None:
        super().__init__()
        if each_frame and not in_any_order:
            raise UsageError("each_frame is true and in_any_order false; frames in a fixed order need no permutation")
        self.in_any_order, self.each_frame = in_any_order, each_frame

    def compare(self, estimates: Tensor, targets: Tensor, absolute: bool = False) -> Tensor:
        """Mean square, or absolute, difference of (batch, sources, freq, frames) each, real or complex -> (batch,)."""
        if estimates.shape != targets.shape:
            raise ValueError(
                f"masks {tuple(estimates.shape)}; expected (batch, sources, freq, frames) as the sources' spectra have "
                f"it, {tuple(targets.shape)}"
            )

        def distance(difference: Tensor) -> Tensor:
            if absolute:
                return difference.abs()
            if difference.is_complex():
                return difference.real.square() + difference.imag.square()
            return difference.square()

        if not self.in_any_order:
            return distance(estimates - targets).mean((1, 2, 3))
        pairs = distance(estimates.unsqueeze(2) - targets.unsqueeze(1)).mean(3)
        if not self.each_frame:
            return matched_mean(pairs.mean(3))
        batch, _, _, frames = pairs.shape
        return matched_mean(pairs.movedim(3, 1).flatten(0, 1), EXHAUSTIVE_TO).view(batch, frames).mean(1)


class MaskMse(MaskLoss):
    """Mean square error of estimated masks to ideal ones (Wang et al., 2014).

    For models that estimate masks in 0..1 on an STFT. kind: see `avsep.dsp.masks.ideal_masks`. in_any_order,
    each_frame: see `MaskLoss`. weighted: every bin counts with the power that the mixture has there, against the mean
    of all bins (Luo et al., 2018, eq. 13); else the quiet ones count like the others. The bound is 0.
    """

    def __init__(
        self,
        kind: MaskKind = "PSM",
        in_any_order: bool = True,
        each_frame: bool = False,
        weighted: bool = False,
    ) -> None:
        super().__init__(in_any_order, each_frame)
        if kind not in get_args(MaskKind):
            raise UsageError(f"mask kind is {kind!r}, expected one of {', '.join(get_args(MaskKind))}")
        self.kind, self.weighted = kind, weighted

    def forward(self, masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """Masks (batch, sources, freq, frames), complex STFTs of the sources (the same shape) and of the mixture
        (batch, freq, frames) -> (batch,)."""
        masks, ideal = full_precision(masks), ideal_masks(self.kind, sources, mixture)
        if self.weighted:
            size = full_precision(mixture).abs().unsqueeze(1)
            weights = size / (size.square().mean((-2, -1), keepdim=True).sqrt() + 1e-12)
            masks, ideal = weights * masks, weights * ideal
        return self.compare(masks, ideal)


class ComplexMaskMse(MaskLoss):
    """Mean square error of complex masks to the ideal ones, both compressed (Williamson et al., 2016), so that
    bins whose ideal mask is very large do not outweigh the rest.

    The squares of the real and of the imaginary part are added; a real mask has no imaginary one. bound, steepness: K
    and C, see `avsep.dsp.masks.compressed`. in_any_order, each_frame: see `MaskLoss`. Every bin counts the same, the
    quiet ones too. The bound of the loss is 0.
    """

    takes_complex = True

    def __init__(
        self,
        bound: float = BOUND,
        steepness: float = STEEPNESS,
        in_any_order: bool = True,
        each_frame: bool = False,
    ) -> None:
        super().__init__(in_any_order, each_frame)
        check_compression(bound, steepness)
        self.bound, self.steepness = bound, steepness

    def forward(self, masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """Real or complex masks (batch, sources, freq, frames), complex STFTs of the sources (the same shape) and of
        the mixture (batch, freq, frames) -> (batch,)."""
        ideal = complex_ratio_masks(sources, mixture)
        if not masks.is_complex():
            masks = torch.complex(full_precision(masks), torch.zeros_like(full_precision(masks)))
        settings = self.bound, self.steepness
        return self.compare(compressed(full_precision(masks), *settings), compressed(ideal, *settings))


class SpectrumApproximation(MaskLoss):
    """Mean square error of the masked magnitude to the source's (Weninger et al., 2014).

    For models that estimate real masks on an STFT. phase_sensitive: to the part of the source in phase with the
    mixture (Erdogan et al., 2015), so that the mask makes up for the mixture's phase. in_any_order, each_frame: see
    `MaskLoss`. truncate: what the masked magnitude is held against is cut to 0 to so many times the mixture's, for
    masks that end there (1: masks in 0..1; Wang, Le Roux and Hershey, 2018); .inf cuts at 0 alone, for masks that are
    not negative (Kolbaek et al., 2017). absolute: mean absolute error instead. relative: to the mean power, or
    magnitude, of the mixture's bins, so that the level of the item changes nothing; else loud items weigh more
    (Open-Unmix; Stöter et al., 2019). The bound is 0.
    """

    def __init__(
        self,
        phase_sensitive: bool = True,
        in_any_order: bool = True,
        each_frame: bool = False,
        truncate: float | None = None,
        absolute: bool = False,
        relative: bool = True,
    ) -> None:
        super().__init__(in_any_order, each_frame)
        if truncate is not None and not truncate > 0:
            raise UsageError(f"truncate is {truncate}; it must be above 0, or null")
        self.phase_sensitive, self.truncate = phase_sensitive, truncate
        self.absolute, self.relative = absolute, relative

    def forward(self, masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """Masks (batch, sources, freq, frames), complex STFTs of the sources (the same shape) and of the mixture
        (batch, freq, frames) -> (batch,)."""
        sources, mixture = full_precision(sources), full_precision(mixture).unsqueeze(1)
        size = mixture.abs()
        targets = sources.abs()
        if self.phase_sensitive:
            targets = (sources * torch.exp(-1j * mixture.angle())).real
        if self.truncate is not None:
            targets = targets.clamp_min(0)
            # 0 times infinity is no number.
            targets = targets if math.isinf(self.truncate) else targets.minimum(self.truncate * size)
        loss = self.compare(full_precision(masks) * size, targets, self.absolute)
        level = (size if self.absolute else size.square()).mean((-3, -2, -1)) + 1e-12
        return loss / level if self.relative else loss


class OnWaveforms(nn.Module):
    """A mask loss for models that estimate waveforms: their masks are the estimates' magnitudes over the mixture's.

    Bins 40 dB below the mixture's mean power are divided by that level, and masks end at 10, so that no bin where the
    mixture is silent outweighs the rest. window and hop in samples.
    """

    def __init__(self, loss: MaskLoss | None = None, window: int = WINDOW, hop: int = HOP) -> None:
        super().__init__()
        self.loss = loss or SpectrumApproximation(phase_sensitive=False)
        if self.loss.takes_complex:
            raise UsageError(
                f"OnWaveforms: {type(self.loss).__name__} is a loss of complex masks, and magnitudes are real"
            )
        self.window, self.hop = window, hop

    def forward(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """(batch, sources, time) twice, (batch, time) -> (batch,)."""
        spectrum = stft(mixture, self.window, self.hop)
        size = spectrum.abs()
        quiet = 0.01 * size.square().mean((-2, -1), keepdim=True).sqrt() + 1e-12
        masks = stft(estimates, self.window, self.hop).abs() / size.maximum(quiet).unsqueeze(1)
        return self.loss(masks.clamp_max(MOST_MASK), stft(sources, self.window, self.hop), spectrum)
