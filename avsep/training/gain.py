"""SI-SNR improvement while training: on the device, in torch, silent sources left out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avsep.losses import NegativeSiSnr, best_assignment, si_snr_loss
from avsep.losses.objective import Batch, folded
from avsep.losses.order import all_pairs

CLEAN_DB = 60.0
"""A mixture this close to a source is the source: there is nothing to improve."""


@torch.no_grad()
def improvement(estimates: Tensor, batch: Batch, fixed_order: bool) -> Tensor:
    """SI-SNRi in dB of each item, NaN where there is nothing to improve: (batch,).

    estimates (batch, estimates, channels, time); batch: sources (batch, sources, channels, time) and mixture (batch,
    channels, time), of which as many channels count. Means go over the active sources (not all zeros) that the mixture
    is not equal to, in the given order or under the permutation with the highest sum.
    """
    estimates, sources, mixture = folded(estimates, batch)
    before = -si_snr_loss(mixture.unsqueeze(1), sources, mixture.unsqueeze(1))
    counted = (sources.square().sum(-1) > 0) & (before < CLEAN_DB)
    if fixed_order:
        after = -si_snr_loss(estimates, sources, mixture.unsqueeze(1))
    else:
        losses = all_pairs(NegativeSiSnr(), estimates, sources, mixture)
        left_over = (0, losses.shape[1] - sources.shape[1])
        counted, before = functional.pad(counted, left_over), functional.pad(before, left_over)
        losses = torch.where(counted.unsqueeze(1), losses, 0.0)
        after = -losses.gather(1, best_assignment(losses).unsqueeze(1)).squeeze(1)
    gains = torch.where(counted, after - before, 0.0).sum(1)
    return torch.where(counted.any(1), gains / counted.sum(1).clamp_min(1), torch.nan)
