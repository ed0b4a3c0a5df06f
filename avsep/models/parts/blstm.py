"""Bidirectional LSTMs over the frames of a spectrum, and layers that turn what they give into embeddings and masks."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.masks import BOUND, INSIDE, STEEPNESS, check_compression, decompressed
from avsep.models.limits import MOST_SIZE, check_whole

Activation = Literal["softmax", "sigmoid", "relu"]


def blstm(features: int, hidden: int, layers: int, dropout: float) -> nn.LSTM:
    """(batch, frames, features) -> (batch, frames, 2 * hidden) and a state. hidden: cells of a layer each way. dropout:
    between layers."""
    check_whole(1, MOST_SIZE, layers=layers, hidden=hidden)
    dropout = dropout if layers > 1 else 0.0
    return nn.LSTM(features, hidden, layers, batch_first=True, dropout=dropout, bidirectional=True)


class EmbeddingHead(nn.Linear):
    """An embedding of unit length for each time-frequency bin: (batch, frames, size) -> (batch, freq, frames, dims)."""

    def __init__(self, size: int, freq: int, dims: int) -> None:
        check_whole(1, MOST_SIZE, dims=dims)
        super().__init__(size, freq * dims)
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        made = torch.tanh(super().forward(x)).unflatten(2, (-1, self.dims))
        return functional.normalize(made, dim=3).transpose(1, 2)


class MaskHead(nn.Linear):
    """A mask for each source: (batch, frames, size) -> (batch, sources, frames, freq).

    activation: "softmax", of which the masks of a bin sum to 1, "sigmoid" (0..1) or "relu" (0 and up).
    """

    def __init__(self, size: int, freq: int, sources: int, activation: Activation) -> None:
        if activation not in get_args(Activation):
            raise ValueError(f"activation is {activation!r}; it must be one of {', '.join(get_args(Activation))}")
        check_whole(1, 64, sources=sources)
        super().__init__(size, sources * freq)
        self.sources, self.activation = sources, activation

    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x).unflatten(2, (self.sources, -1)).transpose(1, 2)
        if self.activation == "softmax":
            return made.softmax(1)
        return made.sigmoid() if self.activation == "sigmoid" else made.relu()


class ComplexMaskHead(nn.Linear):
    """A complex mask for each source: (batch, frames, size) -> complex (batch, sources, frames, freq).

    The real and the imaginary part are estimated as `avsep.dsp.masks.compressed` makes them, within -bound..bound, and
    decompressed (Williamson et al., 2016). Short of the bound, so that they stay finite.
    """

    def __init__(self, size: int, freq: int, sources: int, bound: float = BOUND, steepness: float = STEEPNESS) -> None:
        check_compression(bound, steepness)
        check_whole(1, 64, sources=sources)
        super().__init__(size, sources * 2 * freq)
        self.sources, self.bound, self.steepness = sources, bound, steepness

    def forward(self, x: Tensor) -> Tensor:
        # Halves have no complex numbers, and too few digits near the bound.
        made = super().forward(x).float().unflatten(2, (self.sources, 2, -1)).transpose(1, 2)
        most = INSIDE * self.bound
        masks = decompressed(most * torch.tanh(made / most), self.bound, self.steepness)
        return torch.complex(masks[:, :, :, 0], masks[:, :, :, 1])
