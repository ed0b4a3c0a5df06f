"""Whose voice is it? Statistics of cepstra, weighed by how much they differ between speakers: no network."""

from __future__ import annotations

import math

import torch
import torchaudio
from torch import Tensor, nn

from avsep.models.base import Model
from avsep.models.limits import check_whole
from avsep.signals import SAMPLE_RATE

WINDOW, HOP = 400, 160
"""Samples: 25 and 10 ms."""
SPEECH_DB = 22.0
"""Frames so far below the loudest ones take no part."""
DELTA_FRAMES = 2
"""Frames on either side over which a slope is taken."""


class VoiceStatistics(Model):
    """Mel cepstra of the frames with speech; their means and spreads, the spreads of their slopes, and how they go
    together, projected to where speakers differ most for what one speaker varies (linear discriminant analysis).

    coefficients: cepstra, without the first, which is the level. dims: of the embedding. Nothing is learnt by gradient:
    `python -m avsep.training.speakers` fits `mean`, `scale` and `projection`.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, mels: int = 40, coefficients: int = 23, dims: int = 96) -> None:
        super().__init__()
        check_whole(2, 256, mels=mels)
        check_whole(1, mels - 1, coefficients=coefficients)
        self.coefficients = coefficients
        self.count = 3 * coefficients + coefficients * (coefficients - 1) // 2
        check_whole(1, self.count, dims=dims)
        self.mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, WINDOW, hop_length=HOP, f_min=60, f_max=7600, n_mels=mels, pad_mode="constant"
        )
        band, order = torch.arange(mels) + 0.5, torch.arange(1, coefficients + 1)
        cosines = torch.cos(math.pi / mels * order[:, None] * band) * (2 / mels) ** 0.5
        self.register_buffer("cosines", cosines, persistent=False)
        self.mean = nn.Parameter(torch.zeros(self.count), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(self.count), requires_grad=False)
        self.projection = nn.Parameter(torch.zeros(self.count, dims), requires_grad=False)

    def statistics(self, waveform: Tensor) -> Tensor:
        """(batch, time) at 16 kHz, 25 ms or more -> (batch, statistics), whatever the level."""
        level = waveform.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
        bands = self.mel(waveform / level).add(1e-8).log()
        loudness = bands.mean(1)
        speech = loudness > loudness.quantile(0.95, dim=1, keepdim=True) - SPEECH_DB * math.log(10) / 10
        cepstra = self.cosines @ bands
        padded = torch.nn.functional.pad(cepstra, (DELTA_FRAMES, DELTA_FRAMES), mode="replicate")
        frames = cepstra.shape[2]
        steps = range(-DELTA_FRAMES, DELTA_FRAMES + 1)
        shifted = [n * padded[..., DELTA_FRAMES + n : DELTA_FRAMES + n + frames] for n in steps]
        slopes = torch.stack(shifted).sum(0) / sum(n * n for n in steps)
        weight = (speech / speech.sum(1, keepdim=True)).unsqueeze(1)
        means, together = _moments(cepstra, weight)
        spread = together.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt() + 0.01
        varying = _moments(slopes, weight)[1].diagonal(dim1=1, dim2=2).clamp_min(0).sqrt() + 0.01
        above = torch.triu_indices(self.coefficients, self.coefficients, 1)
        correlation = (together / spread.unsqueeze(1) / spread.unsqueeze(2))[:, above[0], above[1]]
        return torch.cat([means, spread.log(), varying.log(), correlation], dim=1)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time) at 16 kHz, 25 ms or more -> (batch, dims) of length 1: the cosine of two says how alike their
        voices are."""
        made = ((self.statistics(waveform) - self.mean) / self.scale) @ self.projection
        return torch.nn.functional.normalize(made, dim=1)


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(batch, n, frames), weights (batch, 1, frames) that sum to 1 -> means (batch, n), covariances (batch, n, n)."""
    mean = (x * weight).sum(2)
    centred = (x - mean.unsqueeze(2)) * weight.sqrt()
    return mean, centred @ centred.mT
