"""The level of a mixture, by which networks of raw samples are made indifferent to it."""

from __future__ import annotations

from torch import Tensor


def level_of(mixture: Tensor) -> Tensor:
    """Root of the mean power over all microphones and the whole item, at least 1e-8: (batch, microphones, time) ->
    (batch, 1, 1)."""
    return mixture.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-8)
