"""Gated encoder of segments that do not overlap (Luo and Mesgarani, TasNet, 2018, eqs. 4 to 6)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, MOST_WINDOW, check_whole

QUIET = 1e-8
"""L2 norm of a segment that counts as silence."""


class GatedEncoder(Part):
    """N weights for each segment of L samples: those of the segment brought to an L2 norm of 1, times a gate.

    Its counterpart is a `Decoder` whose kernel and stride are L. kernel: L in samples.
    """

    transform = None
    """It has no spectrum."""

    def __init__(self, filters: int, kernel: int) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters)
        check_whole(1, MOST_WINDOW, kernel=kernel)
        self.stride = kernel
        self.value = nn.Linear(kernel, filters, bias=False)
        self.gate = nn.Linear(kernel, filters, bias=False)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, 1, time) -> weights of the segments at their norm of 1, for the separator, and at their own norm, for
        its masks: (batch, segments, filters) each, not negative. The decoder is linear, so it gives back the level."""
        segments = F.pad(mixture[:, 0], (0, -mixture.shape[-1] % self.stride)).unflatten(1, (-1, self.stride))
        norm = torch.linalg.vector_norm(segments, dim=2, keepdim=True)
        segments = segments / norm.clamp_min(QUIET)
        weights = torch.relu(self.value(segments)) * torch.sigmoid(self.gate(segments))
        return weights, weights * norm
