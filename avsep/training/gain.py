"""SI-SNR improvement while training: on the device, in torch, silent sources left out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avsep.losses import best_assignment, si_snr_loss

CLEAN_DB = 60.0
"""A mixture this close to a source is the source: there is nothing to improve."""


def improvement(estimates: Tensor, sources: Tensor, mixture: Tensor, fixed_order: bool) -> Tensor:
    """SI-SNRi in dB of each item, NaN where there is nothing to improve: (batch,).

    estimates (batch, estimates, time), sources (batch, sources, time), mixture (batch, time). Means go over the active
    sources (not all zeros) that the mixture is not equal to, in the given order or under the permutation with the
    highest sum.
    """
    estimates = estimates.detach()
    before = -si_snr_loss(mixture.unsqueeze(1), sources, mixture.unsqueeze(1))
    counted = (sources.square().sum(-1) > 0) & (before < CLEAN_DB)
    if fixed_order:
        after = -si_snr_loss(estimates, sources, mixture.unsqueeze(1))
    else:
        missing = estimates.shape[1] - sources.shape[1]
        counted = functional.pad(counted, (0, max(missing, 0)))
        before = functional.pad(before, (0, max(missing, 0)))
        sources = functional.pad(sources, (0, 0, 0, max(missing, 0)))
        estimates = functional.pad(estimates, (0, 0, 0, max(-missing, 0)))
        losses = si_snr_loss(estimates.unsqueeze(2), sources.unsqueeze(1), mixture[:, None, None])
        losses = torch.where(counted.unsqueeze(1), losses, 0.0)
        after = -losses.gather(1, best_assignment(losses).unsqueeze(1)).squeeze(1)
    gains = torch.where(counted, after - before, 0.0).sum(1)
    return torch.where(counted.any(1), gains / counted.sum(1).clamp_min(1), torch.nan)
