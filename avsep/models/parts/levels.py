"""The level of a mixture, by which networks of raw samples are made indifferent to it."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from avsep.models.base import Output


def level_of(mixture: Tensor) -> Tensor:
    """Root of the mean power over all microphones and the whole item, at least 1e-8: (batch, microphones, time) ->
    (batch, 1, 1)."""
    return mixture.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-8)


def at_level(output: Output, level: Tensor) -> Output:
    """What was made of a mixture over its level (batch, 1, 1), with the estimates at that of the mixture. Its transform
    takes signals (batch, sources, time) at the mixture's level."""
    of_each, transform = level.unsqueeze(1), output.transform
    return replace(
        output,
        estimates=None if output.estimates is None else output.estimates * of_each,
        stages=tuple(stage * of_each for stage in output.stages),
        transform=None if transform is None else lambda signals: transform(signals / level),
    )
