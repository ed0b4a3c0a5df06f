"""Models with known outputs, so that what runs them is tested in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from avsep.matching.synchrony import Scores
from avsep.models.base import Contract, Model, Output, SeparationModel
from avsep.storage.recording import Estimates


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


class TwoBands(Model):
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


class Bands(SeparationModel):
    """Estimate i is what lies in bands[i], (low, high) in Hz; where `turns`, their order changes with every call."""

    def __init__(self, bands: list[tuple[float, float]], turns: bool = False, **contract: object) -> None:
        super().__init__()
        self.contract = Contract(**({"sample_rate": 16_000, "sources": len(bands), "kind": "sound"} | contract))
        self.bands, self.turns, self.calls = bands, turns, 0

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        estimates = torch.stack([band(mixture, self.contract.sample_rate, *edges) for edges in self.bands], dim=1)
        self.calls += 1
        return Output(estimates.roll(self.calls, 1) if self.turns else estimates)


class BandClassifier:
    """The probability of class i is the part of the energy that lies in bands[i]. It remembers the lengths it saw."""

    sample_rate = 16_000

    def __init__(self, bands: dict[str, tuple[float, float]]) -> None:
        self.names, self.bands = tuple(bands), bands
        self.lengths: list[int] = []

    def probabilities(self, waveform: Tensor) -> Tensor:
        self.lengths.append(waveform.shape[1])
        parts = [band(waveform, self.sample_rate, *edges).square().sum(1) for edges in self.bands.values()]
        return torch.stack(parts, dim=1) / (waveform.square().sum(1, keepdim=True) + 1e-9)


class Lips:
    """In place of the synchrony network: source n goes with person owners[n], by a strong correlation."""

    def __init__(self, people: int, owners: list[int]) -> None:
        self.people, self.owners = people, owners

    def __call__(self, sources: Estimates, active: np.ndarray) -> Scores:
        correlation = np.full((len(active), self.people, sources.count), -0.5)
        for source, owner in enumerate(self.owners[: sources.count]):
            correlation[:, owner, source] = 0.9
        still = np.zeros((len(active), self.people))
        return Scores(correlation, still, np.arange(self.people), np.ones_like(still))

    @staticmethod
    def odds(scores: Scores) -> np.ndarray:
        return 20 * scores.correlation


def band(x: Tensor, sample_rate: int, low: float, high: float) -> Tensor:
    """What lies between two frequencies: (..., time) -> the same shape."""
    spectrum = torch.fft.rfft(x)
    frequency = torch.fft.rfftfreq(x.shape[-1], 1 / sample_rate)
    return torch.fft.irfft(spectrum * ((frequency >= low) & (frequency < high)), x.shape[-1])
