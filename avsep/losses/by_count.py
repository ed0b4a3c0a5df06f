"""A loss on the head of a model that is made for the number of sources there are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.losses.objective import Batch, Objective, OnEstimates, active_sources, needed
from avsep.models.base import Output


class ByCount(Objective):
    """A loss of waveforms on one of the stages, for models with a head for each number of sources: stage n, counted
    from 1, has the estimates for n sources first, and what comes after them is left out.

    Each item goes by the stage of as many as it has sources that are not silent (Zhu et al., 2021), the last stage
    where it has more; where it has none, the first is held against silence. loss: as in `OnEstimates`.
    """

    def __init__(self, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.on_estimates = OnEstimates(loss)

    def forward(self, output: Output, batch: Batch) -> Tensor:
        stages = needed(output, "stages", self)
        active = active_sources(batch)
        # Those that sound come first.
        order = active.int().argsort(dim=1, descending=True, stable=True)
        counts = active.sum(1)
        losses = torch.zeros_like(counts, dtype=torch.float32)
        for count in counts.unique().tolist():
            (items,) = torch.where(counts == count)
            head = min(max(count, 1), len(stages))
            chosen = order[items, : max(count, 1)]
            part = {"mixture": batch["mixture"][items], "sources": batch["sources"][items.unsqueeze(1), chosen]}
            made = self.on_estimates(Output(stages[head - 1][items, :head]), part)
            losses = losses.index_put((items,), made.to(losses))
        return losses
