"""Losses of what a model tells of sources: their class or speaker, which classes there are, and how many sources."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.objective import Batch, Objective, active_sources, folded, needed
from avsep.losses.order import all_pairs, best_assignment
from avsep.losses.pairwise import NegativeSnr
from avsep.models.base import Contract, Output

Target = Literal["label", "present", "count"]


class OnLogits(Objective):
    """Cross-entropy of one of the model's logits, in nats. name: the key of them in its output. target:

    - "label": the label of each source; logits (batch, sources, labels). Of a model without an order, a source has the
      logits of the estimate that goes to it under the best permutation of the waveforms (SNR). Sources without a label
      (-1) count nothing.
    - "present": for each label, whether a source of the item has it; logits (batch, labels), binary cross-entropy.
    - "count": how many sources are not silent; logits (batch, counts), the first for none.
    """

    def __init__(self, name: str, target: Target = "label") -> None:
        super().__init__()
        if target not in get_args(Target):
            raise UsageError(f"OnLogits: target is {target!r}; it must be one of {', '.join(get_args(Target))}")
        self.name, self.target = name, target
        self.order = "any"

    def adapt(self, contract: Contract) -> None:
        self.order = contract.order

    def forward(self, output: Output, batch: Batch) -> Tensor:
        found = needed(output, "logits", self)
        if self.name not in found:
            raise UsageError(f"OnLogits: the model gives no logits {self.name!r}; it gives {', '.join(found)}")
        logits = full_precision(found[self.name])
        if self.target == "count":
            # The last one stands for so many or more.
            counts = active_sources(batch).sum(1).clamp_max(logits.shape[1] - 1)
            return functional.cross_entropy(logits, counts, reduction="none")
        labels = self._labels(batch, logits.shape[-1])
        if self.target == "present":
            present = functional.one_hot(labels + 1, logits.shape[-1] + 1).amax(1)[:, 1:]
            losses = functional.binary_cross_entropy_with_logits(logits, present.to(logits.dtype), reduction="none")
            return losses.mean(1)
        if self.order == "any":
            logits, labels = self._matched(logits, labels, output, batch)
        losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1, reduction="none")
        return losses.view_as(labels).sum(1) / (labels >= 0).sum(1).clamp_min(1)

    def _labels(self, batch: Batch, count: int) -> Tensor:
        if "labels" not in batch:
            raise UsageError(f"OnLogits needs labels, and a batch holds {', '.join(batch)}; take data with labels")
        labels: Tensor = batch["labels"]
        if labels.max() >= count:
            raise UsageError(
                f"a source has the label {int(labels.max())}, the model's {self.name} are 0 to {count - 1}"
            )
        return labels

    def _matched(self, logits: Tensor, labels: Tensor, output: Output, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the estimate of each source (batch, sources, labels), and labels without those of sources that got
        no estimate."""
        best = best_estimates(needed(output, "estimates", self), batch)[:, : labels.shape[1]]
        last = logits.shape[1] - 1
        index = best.clamp_max(last).unsqueeze(2).expand(-1, -1, logits.shape[2])
        return logits.gather(1, index), labels.masked_fill(best > last, -1)


@torch.no_grad()
def best_estimates(estimates: Tensor, batch: Batch) -> Tensor:
    """The estimate of each source under the best permutation of the waveforms (SNR): estimates (batch, estimates,
    channels, time) -> (batch, the larger number), silent ones being added where there are fewer of either."""
    return best_assignment(all_pairs(NegativeSnr(), *folded(estimates, batch)))
