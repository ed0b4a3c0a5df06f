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
LEAST_WEIGHT = 0.1
"""Of very short speech, as part of that of a second."""


class VoiceStatistics(Model):
    """Embeddings of voices, of which two are compared as log-likelihood ratio (`avsep.embeddings.speaker.evidence`).

    Mel cepstra of the frames with speech: their means, spreads, skewness and kurtosis, the spreads of their slopes, and
    how they and the first slopes go together; projected to where speakers differ most for what one speaker varies
    (linear discriminant analysis), brought to one length (Garcia-Romero and Espy-Wilson, 2011), and compared as normal
    distributions of speakers and of what one of them varies (PLDA with two covariances; Brummer and de Villiers, 2010).

    coefficients: cepstra, without the first, which is the level. slopes: how many of them take part in how slopes go
    together. dims: of the projection. Nothing is learnt by gradient: `python -m avsep.training.speakers` fits `mean`,
    `scale` and `projection` of the statistics; `centre` and `axes`, along which one speaker varies by 1, speakers by
    `between`; and `calibration`: a slope, the part of it that each logarithm of seconds adds, an offset, what each
    logarithm adds to it, and what their difference does.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, mels: int = 40, coefficients: int = 23, slopes: int = 12, dims: int = 250) -> None:
        super().__init__()
        check_whole(2, 256, mels=mels)
        check_whole(1, mels - 1, coefficients=coefficients)
        check_whole(0, coefficients, slopes=slopes)
        self.coefficients, self.slopes = coefficients, slopes
        self.count = 5 * coefficients + _pairs(coefficients) + _pairs(slopes)
        check_whole(1, self.count, dims=dims)
        self.mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, WINDOW, hop_length=HOP, f_min=60, f_max=7600, n_mels=mels, pad_mode="constant"
        )
        band, order = torch.arange(mels) + 0.5, torch.arange(1, coefficients + 1)
        cosines = torch.cos(math.pi / mels * order[:, None] * band) * (2 / mels) ** 0.5
        self.register_buffer("cosines", cosines, persistent=False)
        self.mean, self.scale = _fitted(torch.zeros(self.count)), _fitted(torch.ones(self.count))
        self.projection = _fitted(torch.zeros(self.count, dims))
        self.centre, self.axes, self.between = (
            _fitted(torch.zeros(dims)),
            _fitted(torch.eye(dims)),
            _fitted(torch.ones(dims)),
        )
        self.calibration = _fitted(torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]))

    @property
    def size(self) -> int:
        """Numbers of an embedding."""
        return self.projection.shape[1] + 4

    def statistics(self, waveform: Tensor) -> Tensor:
        """(batch, time) at 16 kHz, 25 ms or more -> (batch, statistics), whatever the level."""
        level = waveform.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
        bands = self.mel(waveform / level).add(1e-8).log()
        loudness = bands.mean(1)
        speech = loudness > loudness.quantile(0.95, dim=1, keepdim=True) - SPEECH_DB * math.log(10) / 10
        cepstra = self.cosines @ bands
        padded = torch.nn.functional.pad(cepstra, (DELTA_FRAMES, DELTA_FRAMES), mode="replicate")
        frames = cepstra.shape[2]
        slopes = torch.stack(
            [
                n * padded[..., DELTA_FRAMES + n : DELTA_FRAMES + n + frames]
                for n in range(-DELTA_FRAMES, DELTA_FRAMES + 1)
            ]
        ).sum(0) / (2 * sum(n * n for n in range(1, DELTA_FRAMES + 1)))
        weight = (speech / speech.sum(1, keepdim=True)).unsqueeze(1)
        means, spread, together = _moments(cepstra, weight)
        _, varying, slopes_together = _moments(slopes, weight)
        normal = (cepstra - means.unsqueeze(2)) / spread.unsqueeze(2)
        return torch.cat(
            [
                means,
                spread.log(),
                varying.log(),
                _above_diagonal(together),
                _above_diagonal(slopes_together[:, : self.slopes, : self.slopes]),
                (normal**3 * weight).sum(2),
                ((normal**4 * weight).sum(2) + 0.01).log(),
            ],
            dim=1,
        )

    def project(self, statistics: Tensor) -> Tensor:
        """(batch, statistics) -> (batch, dims), each of the length sqrt(dims)."""
        made = ((statistics - self.mean) / self.scale) @ self.projection
        return torch.nn.functional.normalize(made, dim=1) * made.shape[1] ** 0.5

    def place(self, projected: Tensor) -> Tensor:
        """Of `project` (batch, dims) -> the same shape: along the axes one speaker varies by 1."""
        return (projected - self.centre) @ self.axes

    def embed(self, projected: Tensor, seconds: Tensor) -> Tensor:
        """Of `project` (batch, dims) and the speech that each is of (batch,) -> (batch, size).

        The log-likelihood ratio of two is a product of what they are along the axes, less what each is by itself. Its
        slope is a product of both weights. Voices of unequal length are less alike than PLDA expects of one speaker.
        """
        place = self.place(projected)
        total, determinant = self.between + 1, 2 * self.between + 1
        along = place * (self.between / determinant).sqrt()
        alone = (place.square() * self.between.square() / (2 * determinant * total)).sum(1)
        alone -= (total.log() - determinant.log() / 2).sum() / 2
        slope, slope_long, offset, offset_long, unequal = self.calibration
        length = seconds.log()
        weight = slope.sqrt() * (1 + slope_long * length).clamp_min(LEAST_WEIGHT)
        rest = torch.stack([weight * alone, weight, offset / 2 + offset_long * length, unequal * length], dim=1)
        return torch.cat([weight[:, None] * along, rest], dim=1)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time) of speech at 16 kHz, 25 ms or more -> (batch, size)."""
        seconds = torch.full(waveform.shape[:1], waveform.shape[1] / SAMPLE_RATE, device=waveform.device)
        return self.embed(self.project(self.statistics(waveform)), seconds)


def _fitted(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=False)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _above_diagonal(x: Tensor) -> Tensor:
    """(batch, n, n) -> (batch, n * (n - 1) / 2)."""
    rows, columns = torch.triu_indices(x.shape[1], x.shape[1], 1)
    return x[:, rows, columns]


def _moments(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, n, frames), weights (batch, 1, frames) that sum to 1 -> means and deviations (batch, n), correlations
    (batch, n, n)."""
    mean = (x * weight).sum(2)
    centred = (x - mean.unsqueeze(2)) * weight.sqrt()
    covariance = centred @ centred.mT
    spread = covariance.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt() + 0.01
    return mean, spread, covariance / spread.unsqueeze(1) / spread.unsqueeze(2)
