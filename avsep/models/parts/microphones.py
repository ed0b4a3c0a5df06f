"""Means over microphones, whatever their number and order."""

from __future__ import annotations

from torch import Tensor


def microphone_weights(mixture: Tensor) -> Tensor:
    """What each microphone counts in a mean over all of them: (batch, microphones, time) -> (batch, microphones), which
    sum to 1.

    All count the same, but for those that are silent throughout: they do not count, so that the items of a batch may
    have different numbers of microphones, filled up with zeros, and dead microphones change nothing. The first one, the
    reference, always counts.
    """
    present = (mixture.detach().abs().amax(2) > 0).to(mixture.dtype)
    present[:, 0] = 1
    return present / present.sum(1, keepdim=True)


def others_weights(mixture: Tensor) -> Tensor:
    """The same for means over all but the reference: (batch, microphones, time) -> (batch, microphones - 1); all 0
    where no other sounds."""
    weights = microphone_weights(mixture)[:, 1:]
    return weights / weights.sum(1, keepdim=True).clamp_min(1e-6)


def mean_over_microphones(x: Tensor, weights: Tensor) -> Tensor:
    """(batch, microphones, ...) and weights (batch, microphones) -> (batch, ...)."""
    return (x * weights.view(*weights.shape, *[1] * (x.dim() - 2))).sum(1)
