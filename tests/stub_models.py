"""Separation models with known outputs, so that what runs them is tested in milliseconds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.models.base import Contract, Output, SeparationModel


class Gains(SeparationModel):
    """Estimate i is the mixture times gains[i], in every channel. It remembers the mixtures and cues it was given."""

    def __init__(self, gains: list[float], **contract: object) -> None:
        super().__init__()
        self.contract = Contract(**({"sample_rate": 16_000, "sources": len(gains)} | contract))
        self.gains = nn.Parameter(torch.tensor(gains))
        self.given: list[tuple[Tensor, dict[str, Tensor]]] = []

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        self.given.append((mixture, cues))
        return Output(self.gains[:, None, None] * mixture.unsqueeze(1))


class PerCue(SeparationModel):
    """One estimate for each cue "level" (batch, sources): the mixture times it."""

    contract = Contract(16_000, cues=("level",), sources=None, order="cue")

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.batches.append(cues["level"].shape[1])
        return Output(cues["level"][:, :, None, None] * mixture.unsqueeze(1))
