"""An embedding for every time-frequency bin, for models whose network does not know how many sources there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Contract, Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.blstm import blstm


class AnyNumberOfSources:
    """Of a model whose network does not know how many sources there are: the number of its contract may be set."""

    contract: Contract
    init_args: dict[str, Any]

    @property
    def sources(self) -> int:
        """Estimates it gives; may be set."""
        assert self.contract.sources is not None
        return self.contract.sources

    @sources.setter
    def sources(self, sources: int) -> None:
        self.contract = replace(self.contract, sources=sources)
        self.init_args["sources"] = sources


class RecurrentTrunk(Part):
    """Features of `freq` bins to an embedding of `dims` numbers for each bin: a bidirectional LSTM of `layers` layers,
    `hidden` cells each way, and a linear layer.

    dropout: between the layers. tanh: numbers in -1..1 by tanh. length: that of all embeddings; as it comes unless
    given.
    """

    def __init__(
        self,
        freq: int,
        layers: int = 4,
        hidden: int = 300,
        dims: int = 20,
        dropout: float = 0.0,
        tanh: bool = True,
        length: float | None = None,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, freq=freq, layers=layers, hidden=hidden, dims=dims)
        check_length(length)
        self.freq, self.dims, self.tanh, self.length = freq, dims, tanh, length
        self.lstm = blstm(freq, hidden, layers, dropout)
        self.embed = nn.Linear(2 * hidden, freq * dims)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, freq) -> (batch, frames, freq, dims)."""
        x = self.embed(self.lstm(features)[0])
        x = torch.tanh(x) if self.tanh else x
        return of_length(x.unflatten(2, (-1, self.dims)), self.length)


def check_length(length: float | None) -> None:
    """ValueError for a length that embeddings cannot have."""
    if length is not None and not 0 < length <= 100:
        raise ValueError(f"length is {length}; it must be above 0 and at most 100, or null")


def of_length(x: Tensor, length: float | None) -> Tensor:
    """(..., dims) scaled to one length; as they are for None."""
    return x if length is None else length * functional.normalize(x, dim=-1)
