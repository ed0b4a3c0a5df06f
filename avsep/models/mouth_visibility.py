"""Is there a mouth to be seen in a crop, or a microphone, a hand, a scarf before it? A small network on each picture.

A mouth that is covered is no mouth at rest: it tells nothing about whether its owner speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Model
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.signals import LIP_SIZE

SIZE = 32
"""Side in pixels that a crop is scaled to."""


class MouthVisibility(Model):
    """Convolutions of stride 2 over the picture scaled down and freed of its mean and contrast, then one linear layer,
    which knows the place: the mouth lies at the same place in every crop.

    widths: channels of the convolutions, each of which halves the side.
    """

    def __init__(self, widths: Sequence[int] = (12, 24, 32)) -> None:
        super().__init__()
        check_whole(1, 4, convolutions=len(widths))
        for width in widths:
            check_whole(1, MOST_SIZE, width=width)
        layers: list[nn.Module] = []
        for entering, width in pairwise([1, *widths]):
            layers += [nn.Conv2d(entering, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(widths[-1] * (SIZE >> len(widths)) ** 2, 1)

    def forward(self, crops: Tensor) -> Tensor:
        """(..., LIP_SIZE, LIP_SIZE) in 0..1 -> log odds that the mouth is to be seen (...)."""
        if crops.shape[-2:] != (LIP_SIZE, LIP_SIZE):
            raise ValueError(f"crops are (..., {LIP_SIZE}, {LIP_SIZE}), got {tuple(crops.shape)}")
        x = F.adaptive_avg_pool2d(crops.reshape(-1, 1, LIP_SIZE, LIP_SIZE), SIZE)
        x = x - x.mean((2, 3), keepdim=True)
        x = x / (x.square().mean((2, 3), keepdim=True).sqrt() + 0.02)
        return self.head(self.body(x)).reshape(crops.shape[:-2])
