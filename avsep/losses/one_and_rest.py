"""Losses of separating one voice after the other: one voice and the rest, and how many are left."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.objective import Batch, Objective, active_sources, folded, needed
from avsep.losses.pairwise import NegativeSnr, PairwiseLoss
from avsep.models.base import Output


class OneAndRest(Objective):
    """One-and-rest PIT (Takahashi et al., 2019, eq. 2): the first estimate is held against one of the N voices, the
    second, at a weight of 1 / (N - 1), against the sum of all others; the voice that makes the loss least is the one.

    Sources that are silent are no voices; where a single voice is left, the second estimate is held against silence.
    Stages are estimates of further passes, each of the rest of the one before: their voices are those that no earlier
    pass was held against, and the loss is the mean over the passes of which any is left. pairwise: `NegativeSnr` unless
    given; with SI-SNR the rest would have no level, by which its silence is told.
    """

    def __init__(self, pairwise: PairwiseLoss | None = None) -> None:
        super().__init__()
        self.pairwise = pairwise or NegativeSnr()

    def forward(self, output: Output, batch: Batch) -> Tensor:
        passes = (needed(output, "estimates", self), *output.stages)
        if any(estimates.shape[1] != 2 for estimates in passes):
            raise UsageError(f"OneAndRest: the model gives {passes[0].shape[1]} estimates, not one and the rest")
        left = active_sources(batch)
        losses, counted = [], []
        for number, estimates in enumerate(passes):
            estimates, sources, mixture = folded(estimates, batch)
            # Nobody at all: both are held against silence, once.
            counted.append(left.any(1) | torch.full_like(left[:, 0], number == 0))
            losses_of_all = self.of_each(estimates, sources * left.unsqueeze(2), mixture, left)
            best = losses_of_all.argmin(1, keepdim=True)
            losses.append(losses_of_all.gather(1, best)[:, 0])
            left = left & ~functional.one_hot(best[:, 0], left.shape[1]).bool()
        weights = torch.stack(counted).to(losses[0].dtype)
        return (torch.stack(losses) * weights).sum(0) / weights.sum(0)

    def of_each(self, estimates: Tensor, voices: Tensor, mixture: Tensor, left: Tensor) -> Tensor:
        """The loss with each voice as the one, (batch, sources): estimates (batch, 2, time), voices (batch, sources,
        time) of which those that are not left are silent, mixture (batch, time), left (batch, sources)."""
        one, rest = estimates.unsqueeze(2).unbind(1)
        others = voices.sum(1, keepdim=True) - voices
        mixture = mixture.unsqueeze(1)
        weight = 1 / (left.sum(1, keepdim=True) - 1).clamp_min(1)
        losses = self.pairwise(one, voices, mixture) + weight * self.pairwise(rest, others, mixture)
        return losses.masked_fill(~left & left.any(1, keepdim=True), torch.inf)


class VoicesLeft(Objective):
    """Cross-entropy of the logits "stop", in nats: nobody, one voice or more are in the mixture and in the rest of each
    pass, every one of which takes one voice away. Sources that are silent are no voices."""

    def forward(self, output: Output, batch: Batch) -> Tensor:
        found = needed(output, "logits", self)
        if "stop" not in found:
            raise UsageError(f"VoicesLeft: the model gives no logits 'stop'; it gives {', '.join(found)}")
        logits = full_precision(found["stop"])
        taken = torch.arange(logits.shape[1], device=logits.device)
        left = (active_sources(batch).sum(1, keepdim=True) - taken).clamp(0, logits.shape[2] - 1)
        losses = functional.cross_entropy(logits.flatten(0, 1), left.flatten(), reduction="none")
        return losses.view_as(left).mean(1)
