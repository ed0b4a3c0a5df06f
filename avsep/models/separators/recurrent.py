"""Masks from a stack of LSTMs over frames (Luo and Mesgarani, TasNet, 2018, section 2.3)."""

from __future__ import annotations

from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole


class RecurrentSeparator(Part):
    """Layer norm of each frame, `layers` LSTMs, a linear layer, and masks that sum to 1 over the sources.

    From the fourth layer on every second one adds what the one two below it gave. hidden: cells of a layer each way.
    bidirectional: else causal, a mask depending on its frame and those before.
    """

    def __init__(
        self, filters: int, hidden: int, layers: int = 4, sources: int = 2, bidirectional: bool = False
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters, hidden=hidden)
        check_whole(1, 100, layers=layers)
        self.sources = sources
        self.norm = nn.LayerNorm(filters)
        wide = 2 * hidden if bidirectional else hidden
        self.layers = nn.ModuleList(
            nn.LSTM(wide if number else filters, hidden, batch_first=True, bidirectional=bidirectional)
            for number in range(layers)
        )
        self.to_masks = nn.Linear(wide, sources * filters)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, filters) -> masks (batch, sources, frames, filters) in 0..1."""
        x, below = self.norm(features), None
        for number, layer in enumerate(self.layers):
            x = layer(x)[0]
            if number % 2:
                x = x if below is None else x + below
                below = x
        return self.to_masks(x).unflatten(2, (self.sources, -1)).softmax(2).transpose(1, 2)
