"""Losses of one estimate against one source in units of the samples: loud items weigh more than quiet ones."""

from __future__ import annotations

from torch import Tensor

from avsep.dsp.stft import full_precision
from avsep.losses.pairwise import PairwiseLoss


class MeanSquaredError(PairwiseLoss):
    """Mean of the squared difference of samples (Wave-U-Net: Stoller et al., 2018)."""

    def forward(self, estimate: Tensor, source: Tensor, mixture: Tensor) -> Tensor:
        """(..., time) each -> (...)."""
        return (full_precision(estimate) - source).square().mean(-1)


class MeanAbsoluteError(PairwiseLoss):
    """Mean of the absolute difference of samples.

    With a last estimate that is what the others leave of the mixture it is the energy-conserving loss of A WaveNet for
    speech denoising (Rethage et al., 2018).
    """

    def forward(self, estimate: Tensor, source: Tensor, mixture: Tensor) -> Tensor:
        """(..., time) each -> (...)."""
        return (full_precision(estimate) - source).abs().mean(-1)
