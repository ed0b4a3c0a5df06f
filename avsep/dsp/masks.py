"""Ideal masks: the best a mask on the mixture's spectrum could be, from sources that are known; and how those without
bounds are compressed."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from avsep.dsp.stft import HOP, WINDOW, full_precision, istft, stft
from avsep.errors import UsageError

MaskKind = Literal["IBM", "IRM", "WFM", "PSM", "binary"]
TINY = 1e-20
"""Added to a ratio's denominator: a bin where nothing sounds gets 0."""
BOUND, STEEPNESS = 10.0, 0.1
"""K and C of a compressed complex ratio mask (Williamson et al., 2016)."""
INSIDE = 0.99
"""Of the bound, that a compressed mask is cut to before it is decompressed: at the bound it would be infinite."""


def ideal_masks(kind: MaskKind, sources: Tensor, mixture: Tensor) -> Tensor:
    """Masks in 0..1 for each source.

    sources: complex STFT (..., sources, freq, frames); mixture: complex STFT (..., freq, frames).
    Returns (..., sources, freq, frames), real. What the mixture has besides the sources (noise) competes as one more
    source, which gets no mask. The kinds:

    - "IBM", ideal binary mask: 1 where the source is louder than every other.
    - "binary": 1 where the source is louder than all others together (Wang, 2005, local criterion 0 dB); the same
      for two sources, fewer bins for more.
    - "IRM", ideal ratio mask: the source's share of the sum of magnitudes.
    - "WFM", Wiener-like: its share of the sum of powers.
    - "PSM", phase-sensitive mask (Erdogan et al., 2015): the part of the source in phase with the mixture over the
      mixture's magnitude, cut to 0..1.

    IBM, IRM and WFM are those of Conv-TasNet (Luo and Mesgarani, 2019). Raises UsageError for another kind.
    """
    if kind not in get_args(MaskKind):
        raise UsageError(f"mask kind is {kind!r}, expected one of {', '.join(get_args(MaskKind))}")
    sources, mixture = full_precision(sources), full_precision(mixture).unsqueeze(-3)
    if kind == "PSM":
        power = mixture.abs().square()
        in_phase = (sources * mixture.conj()).real
        return torch.where(power > 0, in_phase / (power + TINY), 0).clamp(0, 1)
    if kind == "binary":
        return (sources.abs() > (mixture - sources).abs()).to(sources.real.dtype)
    rest = mixture - sources.sum(-3, keepdim=True)
    sizes = torch.cat([sources, rest], -3).abs()
    if kind == "IBM":
        two_loudest = sizes.topk(2, dim=-3).values
        # Strictly louder: equals, and silence, get no owner.
        is_loudest = (sizes == two_loudest[..., :1, :, :]) & (sizes > two_loudest[..., 1:, :, :])
        return is_loudest[..., :-1, :, :].to(sizes.dtype)
    if kind == "WFM":
        sizes = sizes.square()
    return sizes[..., :-1, :, :] / (sizes.sum(-3, keepdim=True) + TINY)


def oracle_estimates(kind: MaskKind, sources: Tensor, mixture: Tensor, window: int = WINDOW, hop: int = HOP) -> Tensor:
    """The mixture through the ideal masks: (..., sources, time), (..., time) -> (..., sources, time).

    The bound a method of that kind of mask cannot pass; the phase is the mixture's. window and hop in samples.
    """
    bins = stft(mixture, window, hop)
    masks = ideal_masks(kind, stft(sources, window, hop), bins)
    return istft(masks * bins.unsqueeze(-3), mixture.shape[-1], window, hop)


def complex_ratio_masks(sources: Tensor, mixture: Tensor) -> Tensor:
    """What each source's bins are as a complex multiple of the mixture's (Williamson et al., 2016): times the
    mixture they are the sources themselves. Without bounds; 0 where the mixture is silent.

    Complex STFTs (..., sources, freq, frames) and (..., freq, frames) -> complex (..., sources, freq, frames).
    """
    sources, mixture = full_precision(sources), full_precision(mixture).unsqueeze(-3)
    power = mixture.real.square() + mixture.imag.square()
    return sources * mixture.conj() / (power + TINY)


def check_compression(bound: float, steepness: float) -> None:
    """ValueError for a bound or a steepness that `compressed` does not take."""
    for name, value in (("bound", bound), ("steepness", steepness)):
        if not 0 < value <= 1000:
            raise ValueError(f"{name} is {value}; it must be above 0 and at most 1000")


def compressed(mask: Tensor, bound: float = BOUND, steepness: float = STEEPNESS) -> Tensor:
    """A mask, or the real and the imaginary part of a complex one, within -bound..bound: x becomes K (1 - exp(-C x)) /
    (1 + exp(-C x)), which is K tanh(C x / 2), with the bound K and the steepness C (Williamson et al., 2016)."""
    if mask.is_complex():
        return torch.complex(compressed(mask.real, bound, steepness), compressed(mask.imag, bound, steepness))
    return bound * torch.tanh(0.5 * steepness * mask)


def decompressed(mask: Tensor, bound: float = BOUND, steepness: float = STEEPNESS) -> Tensor:
    """The inverse of `compressed`, of real masks or parts; those beyond 0.99 of the bound are cut to it."""
    return torch.atanh((mask / bound).clamp(-INSIDE, INSIDE)) * 2 / steepness
