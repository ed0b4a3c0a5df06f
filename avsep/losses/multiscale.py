"""One loss at several outputs of a model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from avsep.errors import UsageError
from avsep.losses.order import PermutationInvariant
from avsep.losses.pairwise import NegativeSiSnr


class MultiScale(nn.Module):
    """A weighted mean of a waveform loss over several sets of estimates of the same sources.

    For models with decoders of several window lengths (multi-scale SI-SNR: SpEx, Xu et al., 2020; weights 0.8, 0.1,
    0.1) or with estimates after every block (Nachmani et al., 2020; equal weights). loss:
    permutation-invariant negative SI-SNR unless given; each scale finds its own permutation.
    """

    def __init__(self, loss: nn.Module | None = None, weights: Sequence[float] = (0.8, 0.1, 0.1)) -> None:
        super().__init__()
        if not weights or min(weights) < 0 or sum(weights) == 0:
            raise UsageError(f"weights are {list(weights)}, expected one of 0 or more for each scale, not all 0")
        self.loss = loss or PermutationInvariant(NegativeSiSnr())
        self.weights = [weight / sum(weights) for weight in weights]

    def forward(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """(batch, scales, sources, time), (batch, sources, time), (batch, time) -> (batch,)."""
        if estimates.dim() != 4 or estimates.shape[1] != len(self.weights):
            raise ValueError(
                f"estimates {tuple(estimates.shape)}; expected (batch, scales, sources, time) with "
                f"{len(self.weights)} scales, as many as weights"
            )
        return sum(
            weight * self.loss(scale, sources, mixture)
            for weight, scale in zip(self.weights, estimates.unbind(1), strict=True)
        )
