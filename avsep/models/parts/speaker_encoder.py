"""A voice's embedding for a network that is steered by it, learnt with that network: from spectra (Xu et al., SpEx,
2020), or from the features that the mixture has too (Ge et al., SpEx+, 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision, stft
from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.models.parts.layers import EPS, PointwiseConv


class SpectrumSpeakerEncoder(Part):
    """Magnitudes of an STFT through a bidirectional LSTM and two linear layers, then the mean over time.

    window and hop in samples. cells: of the LSTM, each way. The waveform is brought to a deviation of 1 first, so that
    its level says nothing.
    """

    def __init__(self, window: int, hop: int, cells: int, embedding: int) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(1, MOST_SIZE, cells=cells, embedding=embedding)
        self.window, self.hop = window, hop
        self.recurrent = nn.LSTM(window // 2 + 1, cells, batch_first=True, bidirectional=True)
        self.body = nn.Sequential(nn.Linear(2 * cells, 2 * cells), nn.ReLU(), nn.Linear(2 * cells, embedding))

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> (batch, embedding)."""
        x = full_precision(waveform)
        level = x.square().mean(1, keepdim=True).sqrt().clamp_min(1e-5)
        magnitudes = stft(x / level, self.window, self.hop).abs().mT
        return self.body(self.recurrent(magnitudes)[0]).mean(1)


class ResidualBlock(nn.Module):
    """Two 1x1 convolutions with batch norms around which the input goes, then the largest of every three frames."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, out, 1, bias=False),
            nn.BatchNorm1d(out),
            nn.PReLU(),
            nn.Conv1d(out, out, 1, bias=False),
            nn.BatchNorm1d(out),
        )
        self.around = nn.Identity() if channels == out else nn.Conv1d(channels, out, 1, bias=False)
        # The last frames count too where fewer than three are left: a short enrolment keeps at least one.
        self.after = nn.Sequential(nn.PReLU(), nn.MaxPool1d(3, ceil_mode=True))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, out, frames / 3)."""
        return self.after(self.body(x) + self.around(x))


class FeatureSpeakerEncoder(Part):
    """Features of the mixture's own encoder through three residual blocks, then the mean over time."""

    def __init__(self, features: int, channels: int, hidden: int, embedding: int) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, features=features, channels=channels, hidden=hidden, embedding=embedding)
        self.enter = nn.Sequential(nn.LayerNorm(features, eps=EPS), PointwiseConv(features, channels))
        self.blocks = nn.Sequential(
            ResidualBlock(channels, channels), ResidualBlock(channels, hidden), ResidualBlock(hidden, hidden)
        )
        self.leave = PointwiseConv(hidden, embedding)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, features) -> (batch, embedding)."""
        x = self.blocks(self.enter(features).transpose(1, 2)).transpose(1, 2)
        return torch.mean(self.leave(x), dim=1)
