"""Learning to separate from mixtures alone."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.order import check_shapes
from avsep.losses.pairwise import NegativeSnr, PairwiseLoss

MOST_ESTIMATES = 10
"""For two mixtures 1024 assignments an item."""


class MixIT(nn.Module):
    """Mixture-invariant training (Wisdom et al., 2020): needs no separated sources.

    The model is given the sum of two mixtures. Each of its estimates belongs to one of them; of all assignments the one
    counts whose sums fit the two mixtures best. pairwise: `NegativeSnr` unless given (with SI-SNR the estimates would
    have no level).
    """

    def __init__(self, pairwise: PairwiseLoss | None = None) -> None:
        super().__init__()
        self.pairwise = pairwise or NegativeSnr()

    def forward(self, estimates: Tensor, mixtures: Tensor, mixture: Tensor) -> Tensor:
        """estimates (batch, estimates, time), mixtures in the place of the sources (batch, 2, time), the mixture of
        mixtures (batch, time) -> (batch,), the mean over the two mixtures in dB."""
        check_shapes(estimates, mixtures, mixture)
        count, into = estimates.shape[1], mixtures.shape[1]
        if count > MOST_ESTIMATES:
            raise UsageError(f"MixIT tries every assignment; {count} estimates are too many, at most {MOST_ESTIMATES}")
        estimates = full_precision(estimates)
        # One assignment after the other and without gradients: all at once would hold 2^estimates copies of the batch.
        choices = torch.tensor(list(itertools.product(range(into), repeat=count)), device=estimates.device)
        with torch.no_grad():
            losses = [self._loss(estimates, mixtures, mixture, choice.expand(len(estimates), -1)) for choice in choices]
        best = choices[torch.stack(losses).argmin(0)]
        return self._loss(estimates, mixtures, mixture, best)

    def _loss(self, estimates: Tensor, mixtures: Tensor, mixture: Tensor, choice: Tensor) -> Tensor:
        """choice: (batch, estimates) int64, the mixture each estimate is put into."""
        mixing = functional.one_hot(choice, mixtures.shape[1]).mT.unsqueeze(-1)
        sums = (mixing * estimates.unsqueeze(1)).sum(2)
        return self.pairwise(sums, mixtures, mixture.unsqueeze(1)).mean(1)
