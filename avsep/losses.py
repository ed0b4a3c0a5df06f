"""Training losses, each lower is better, in dB."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

EPS = 1e-8


def snr_loss(
    estimate: Tensor, source: Tensor, mixture: Tensor, floor_db: float = 30.0, silent_db: float = 20.0
) -> Tensor:
    """Negative SNR with a floor (Wisdom et al., FUSS, 2021, eqs. 4 and 5): (..., time) each -> (...).

    An active source counts up to `floor_db`. A silent one (all zeros) is held against the mixture:
    the estimate's power over the mixture's, down to -`silent_db`.
    """
    power = source.square().sum(-1)
    heard = mixture.square().sum(-1) + EPS
    error = (source - estimate).square().sum(-1)
    active = 10 * torch.log10((error + 10 ** (-floor_db / 10) * power + EPS) / (power + EPS))
    silent = 10 * torch.log10(estimate.square().sum(-1) / heard + 10 ** (-silent_db / 10))
    return torch.where(power > 0, active, silent)


def pit_snr_loss(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """`snr_loss` under the best permutation of an item (Kolbaek et al., 2017): (batch, sources, time), mixture
    (batch, time) -> (batch,)."""
    count = sources.shape[1]
    pairs = snr_loss(estimates.unsqueeze(2), sources.unsqueeze(1), mixture[:, None, None])
    index = torch.arange(count, device=pairs.device)
    losses = [pairs[:, list(p), index].mean(1) for p in itertools.permutations(range(count))]
    return torch.stack(losses).amin(0)
