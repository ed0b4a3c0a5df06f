"""A loss in the space of a learned transform (Tzinis et al., Two-step sound source separation, 2020, section 2.2)."""

from __future__ import annotations

from torch import Tensor

from avsep.dsp.stft import full_precision
from avsep.losses.order import FixedOrder, PermutationInvariant
from avsep.losses.pairwise import NegativeSiSnr
from avsep.losses.spectral import MaskLoss
from avsep.models.parts.latent import ideal_latent_masks


class LatentSiSnr(MaskLoss):
    """Negative SI-SNR of the masked frames to those under `ideal_latent_masks`, in dB; no means are removed.

    For models with masks on a learned transform that stays as it is: one that learns with it makes all frames alike.
    Of complex frames the magnitudes count. in_any_order: under the best permutation of the sources.
    """

    def __init__(self, in_any_order: bool = True) -> None:
        super().__init__()
        self.in_any_order = in_any_order
        pairwise = NegativeSiSnr(zero_mean=False)
        self.loss = PermutationInvariant(pairwise) if in_any_order else FixedOrder(pairwise)

    def forward(self, masks: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """Masks (batch, sources, filters, frames), frames of the sources (the same shape) and of the mixture (batch,
        filters, frames) -> (batch,)."""
        size = full_precision(mixture).abs()
        targets = ideal_latent_masks(full_precision(sources).abs()) * size.unsqueeze(1)
        estimates = full_precision(masks) * size.unsqueeze(1)
        return self.loss(estimates.flatten(2), targets.flatten(2), size.flatten(1))
