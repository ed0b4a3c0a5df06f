"""Separation models with known outputs, so that what runs them is tested in milliseconds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.models.base import Contract, Model, Output, SeparationModel


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


class BandClassifier(Model):
    """Logits of two classes a frame of 10 ms, low and high sounds: linear in two band levels, in three layers."""

    names = ("low", "high")
    sample_rate = 16_000

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> (batch, 1 + time // 160, 2)."""
        padded = nn.functional.pad(waveform, (1, 160 - waveform.shape[-1] % 160))
        sides = torch.stack([padded[:, 1:] + padded[:, :-1], padded[:, 1:] - padded[:, :-1]], 2)
        x = sides.unflatten(1, (-1, 160)).square().mean(2).add(1e-6).log()
        for layer in self.layers:
            x = layer(x)
        return x
