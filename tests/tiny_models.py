"""Small models that give what the models of avsep.models do not all give: for the tests of training."""

from __future__ import annotations

import torch
from stub_models import TwoBands
from torch import Tensor, nn

from avsep.dsp.stft import istft, stft
from avsep.models.base import Contract, Output, SeparationModel

WINDOW, HOP = 64, 16


def transform(waveform: Tensor) -> Tensor:
    return stft(waveform, WINDOW, HOP)


class TwoMicrophones(SeparationModel):
    """The smallest model that uses two channels: a linear filter of both for each source."""

    contract = Contract(16_000, channels=(2, 2))

    def __init__(self, taps: int = 17) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 2, taps, padding=taps // 2)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        return Output(self.conv(mixture).unsqueeze(2))


class Clusters(SeparationModel):
    """Embeddings of the bins in training; in use, masks from how near they are to two centres."""

    contract = Contract(16_000)

    def __init__(self, dims: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, dims, 3, padding=1)
        self.batches_separated = 0

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        spectrum = transform(mixture[:, 0])
        embeddings = self.embed(spectrum.abs().unsqueeze(1).clamp_min(1e-4).log()).permute(0, 2, 3, 1)
        return Output(spectrum=spectrum, embeddings=nn.functional.normalize(embeddings, dim=-1), transform=transform)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.batches_separated += 1
        output = self(mixture)
        masks = (5 * output.embeddings[..., :2]).softmax(-1).permute(0, 3, 1, 2)
        output.estimates = istft(masks * output.spectrum.unsqueeze(1), mixture.shape[-1], WINDOW, HOP).unsqueeze(2)
        return output


class Everything(SeparationModel):
    """Gives all that an objective can be on, but embeddings: estimates of all channels, two stages, masks, logits."""

    def __init__(self, channels: int = 1, sources: int = 2, labels: int = 4) -> None:
        super().__init__()
        self.contract = Contract(16_000, channels=(channels, channels), sources=sources)
        bins = WINDOW // 2 + 1
        self.to_masks = nn.Linear(bins, sources * bins)
        self.to_label = nn.Linear(bins, labels)
        self.to_count = nn.Linear(bins, sources + 1)
        self.classifier = TwoBands()
        self.to_stop = nn.Linear(bins, 3)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        bins = transform(mixture)  # (batch, channels, freq, frames)
        spectrum = bins[:, 0]
        features = spectrum.abs().clamp_min(1e-3).log().mT
        masks = self.to_masks(features).sigmoid().unflatten(2, (self.contract.sources, -1)).permute(0, 2, 3, 1)
        estimates = istft(masks.unsqueeze(2) * bins.unsqueeze(1), mixture.shape[-1], WINDOW, HOP)
        masked = (masks * spectrum.abs().unsqueeze(1)).clamp_min(1e-3).log()
        logits = {
            "class": self.to_label(masked.mean(3)),
            "speaker": self.to_label(masked.mT),
            "tags": self.to_label(features.mean(1)),
            "count": self.to_count(features.mean(1)),
            "mixture": self.classifier(mixture[:, 0]),
            "stop": torch.stack([self.to_stop(features.mean(1)), self.to_stop(masked.mean((1, 3)))], 1),
        }
        return Output(
            estimates, (0.5 * estimates, 0.8 * estimates), spectrum, masks, logits=logits, transform=transform
        )
