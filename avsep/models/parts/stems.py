"""What models of raw samples share that separate voices in any order, or the stems of music by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from avsep.models.base import Contract


def contract_of(sample_rate: int, channels: int, sources: int, stems: Sequence[str] | None, **more: Any) -> Contract:
    """Of so many `sources` in any order, or of `stems` where there are names; all `channels` come back.

    more: of the contract. Raises ValueError where a name is empty or there twice.
    """
    if stems is None:
        return Contract(sample_rate, (channels, channels), sources=sources, **more)
    if not stems or not all(stems) or len(set(stems)) < len(stems):
        raise ValueError(f"stems is {list(stems)!r:.200}; give one or more different names")
    names = tuple(stems)
    return Contract(
        sample_rate, (channels, channels), sources=len(names), order="named", names=names, kind="stem", **more
    )


def outputs_of(contract: Contract, difference: bool) -> int:
    """Signals that a network has to give, all channels counted: with a `difference` those of all sources but the last.
    Raises ValueError for the difference of a single source."""
    assert contract.sources is not None
    if difference and contract.sources < 2:
        raise ValueError("difference is true with 1 source, which would be the mixture; set it to false")
    return contract.channels[0] * (contract.sources - difference)


def with_difference(estimates: Tensor, mixture: Tensor) -> Tensor:
    """One estimate more, which is what the others leave of the mixture: (batch, sources - 1, channels, time) and
    (batch, channels, time) -> (batch, sources, channels, time) (the difference output of Stoller et al., 2018)."""
    return torch.cat([estimates, mixture.unsqueeze(1) - estimates.sum(1, keepdim=True)], dim=1)
