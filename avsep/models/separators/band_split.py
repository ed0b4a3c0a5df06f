"""Bands of a spectrum as tokens, and recurrent networks along time and along the bands: band-split RNN (Luo and Yu,
Music source separation with band-split RNN, 2023), with complex gate masks.

The bands are narrow where voices have their harmonics: 8 of 4 bins, 6 of 6, 4 of 10, 4 of 18, and two for the rest, for
a window of 512 samples at 16 kHz.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import GlobalLayerNorm

BANDS = (4,) * 8 + (6,) * 6 + (10,) * 4 + (18,) * 4 + (38, 39)
"""Bins of each band, from the lowest: 257 in all."""
TIME, BAND = (59.0, 0.5), (7.0, 1.0)
"""Of the networks along time and along the bands, see `ResidualLSTM`: the most steps that a cell remembers at first,
and how far its input gate is closed for it."""


class ResidualLSTM(nn.Module):
    """x + W BiLSTM(norm(x)), along the second last axis.

    The forget gates begin open for 1 to `span` steps, drawn evenly, and the input gates closed by `closed` times as
    much (Tallec and Ollivier, Can recurrent neural networks warp time?, 2018): with torch's defaults, which forget
    after two steps, such networks hardly begin to learn.
    """

    def __init__(self, channels: int, hidden: int, span: float, closed: float) -> None:
        super().__init__()
        self.norm = GlobalLayerNorm(channels)
        self.lstm = nn.LSTM(channels, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, channels)
        with torch.no_grad():
            for direction in ("", "_reverse"):
                forget = torch.log(torch.empty(hidden).uniform_(1.0, span))
                bias = getattr(self.lstm, f"bias_ih_l0{direction}")
                bias[:hidden], bias[hidden : 2 * hidden] = -closed * forget, forget
                getattr(self.lstm, f"bias_hh_l0{direction}").zero_()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, sequences, steps, channels) -> the same shape."""
        normal = self.norm(x.flatten(1, 2)).view(x.shape).flatten(0, 1)
        return x + self.project(self.lstm(normal)[0]).view(x.shape)


class BandBlocks(Part):
    """Features of a spectrum to tokens, (batch, bands, frames, channels), by `blocks` of a network along time and one
    along the bands. hidden: cells each way. features: numbers in the tokens of a frame."""

    def __init__(self, channels: int, hidden: int, blocks: int) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, channels=channels, hidden=hidden)
        check_whole(1, 100, blocks=blocks)
        self.features = len(BANDS) * channels
        self.enter = nn.ModuleList(nn.Linear(3 * bins, channels) for bins in BANDS)
        self.along_time = nn.ModuleList(ResidualLSTM(channels, hidden, *TIME) for _ in range(blocks))
        self.along_bands = nn.ModuleList(ResidualLSTM(channels, hidden, *BAND) for _ in range(blocks))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, 3 * freq) -> (batch, bands, frames, channels)."""
        bands = features.unflatten(2, (3, sum(BANDS))).split(BANDS, dim=3)
        x = torch.stack([enter(band.flatten(2)) for enter, band in zip(self.enter, bands, strict=True)], dim=1)
        for along_time, along_bands in zip(self.along_time, self.along_bands, strict=True):
            x = along_bands(along_time(x).transpose(1, 2)).transpose(1, 2)
        return x


class BandSplitNet(Part):
    """Features of a spectrum of 257 bins to complex masks, sigmoid(g) (1 + r + ji), for all sources at once."""

    def __init__(self, channels: int, hidden: int, blocks: int, sources: int) -> None:
        super().__init__()
        check_whole(1, 64, sources=sources)
        self.sources = sources
        self.blocks = BandBlocks(channels, hidden, blocks)
        self.leave = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, 2 * channels), nn.Tanh(), nn.Linear(2 * channels, sources * 3 * bins))
            for bins in BANDS
        )

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, 3 * 257) -> complex masks (batch, sources, frames, 257)."""
        tokens = self.blocks(features)
        parts = [leave(tokens[:, n]).unflatten(2, (self.sources, 3, -1)) for n, leave in enumerate(self.leave)]
        gate, real, imag = torch.cat(parts, dim=4).float().unbind(3)
        return (torch.sigmoid(gate) * torch.complex(1 + real, imag)).transpose(1, 2)
