"""Which estimate goes with which source, of all of them at once."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

EXHAUSTIVE_TO = 3
"""Estimates up to which all permutations are tried, on the device; 4 have 24, and waiting for the CPU pays."""


def best_assignment(losses: Tensor, exhaustive_to: int = EXHAUSTIVE_TO) -> Tensor:
    """The estimate of each source, no estimate twice, so that the sum of the losses is least.

    losses: (batch, estimates, sources), of estimate i against source j; some estimates may be left over. Returns
    (batch, sources) int64: [b, j] = i.
    To `exhaustive_to` estimates every permutation is tried (Kolbaek et al., 2017), above the Hungarian algorithm finds
    the same in cubic time (Dovrat et al., 2021).
    """
    if losses.dim() != 3 or losses.shape[1] < losses.shape[2]:
        raise ValueError(
            f"losses have shape {tuple(losses.shape)}, expected (batch, estimates, sources) with as many estimates as "
            "sources, or more"
        )
    losses = losses.detach()
    estimates, sources = losses.shape[1:]
    if estimates <= exhaustive_to:
        orders = torch.tensor(list(itertools.permutations(range(estimates), sources)), device=losses.device)
        sums = losses[:, orders, torch.arange(sources, device=losses.device)].sum(-1)
        return orders[sums.argmin(-1)]
    # A loss that is no number takes part too: it must reach the training loop, which stops there.
    costs = np.nan_to_num(losses.double().cpu().numpy())
    found = np.stack([linear_sum_assignment(item.T)[1] for item in costs])
    return torch.from_numpy(found).to(losses.device)
