"""Estimates that sum to the mixture (Wisdom et al., Differentiable consistency constraints, 2019)."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole

Weights = Literal["predicted", "equal"]


class MixtureConsistency(Part):
    """Shares out among the estimates what they miss of the mixture.

    weights: of the shares, which sum to 1: "equal", or "predicted" for each item from the mean over time of the
    separator's activations, of so many channels.
    """

    def __init__(self, sources: int, channels: int, weights: Weights = "predicted") -> None:
        super().__init__()
        if weights not in get_args(Weights):
            raise ValueError(f"weights is {weights!r}; it must be one of {', '.join(get_args(Weights))}")
        check_whole(1, MOST_SIZE, sources=sources, channels=channels)
        self.sources = sources
        self.predict = nn.Linear(channels, sources) if weights == "predicted" else None

    def weights(self, activations: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, sources) in 0..1, which sum to 1."""
        if self.predict is None:
            return activations.new_full((len(activations), self.sources), 1 / self.sources)
        return full_precision(self.predict(activations.mean(1))).softmax(1)

    def forward(self, estimates: Tensor, mixture: Tensor, activations: Tensor) -> Tensor:
        """Estimates (batch, sources, time), the mixture (batch, time), activations (batch, frames, channels) ->
        (batch, sources, time)."""
        estimates, mixture = full_precision(estimates), full_precision(mixture)
        missing = mixture - estimates.sum(1)
        return estimates + full_precision(self.weights(activations)).unsqueeze(2) * missing.unsqueeze(1)
