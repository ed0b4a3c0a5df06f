"""Conditioning of a layer on an embedding over time, such as the logits of a sound classifier
(Tzinis et al., Improving universal sound separation using sound classification, 2020)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv

Sigmoid = Literal["raw", "fixed", "trainable"]
Combine = Literal["concatenate", "gate"]


class TrainableSigmoid(nn.Module):
    """alpha / (1 + exp(beta * (x0 - x))); the sigmoid itself before any training."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
        self.x0 = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * torch.sigmoid(self.beta * (x - self.x0))


SIGMOIDS: dict[str, type[nn.Module]] = {"raw": nn.Identity, "fixed": nn.Sigmoid, "trainable": TrainableSigmoid}


class Conditioning(Part):
    """Joins an embedding to the features of a layer: sigmoid, 1x1 convolution, frames repeated to the layer's rate,
    global norm, then concatenation or a gate.

    classes: of the embedding, all of its signals counted. features: channels of the layer. channels: of the 1x1
    convolution (B'); a gate needs as many as there are features. sigmoid: "raw" logits, "fixed", or "trainable".
    """

    def __init__(
        self,
        classes: int,
        features: int,
        channels: int = 128,
        sigmoid: Sigmoid = "fixed",
        combine: Combine = "concatenate",
    ) -> None:
        super().__init__()
        for name, value, allowed in (("sigmoid", sigmoid, Sigmoid), ("combine", combine, Combine)):
            if value not in get_args(allowed):
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(get_args(allowed))}")
        check_whole(1, MOST_SIZE, classes=classes, features=features, channels=channels)
        if combine == "gate" and channels != features:
            raise ValueError(f"a gate of {channels} channels for {features} features; it needs as many: set both alike")
        self.gates = combine == "gate"
        self.width = features if self.gates else features + channels
        self.sigmoid = SIGMOIDS[sigmoid]()
        self.project = PointwiseConv(classes, channels)
        self.norm = GlobalLayerNorm(channels)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Features (batch, frames, features), logits (batch, embedding frames, classes) of the same stretch of time ->
        (batch, frames, width)."""
        # The 1x1 convolution before the repeating: the same numbers for fewer frames.
        given = self.norm(repeated(self.project(self.sigmoid(embedding)), x.shape[1]))
        return x * given if self.gates else torch.cat([given, x], 2)


def repeated(embedding: Tensor, frames: int) -> Tensor:
    """(batch, embedding frames, channels) -> (batch, frames, channels), both spread evenly over the same stretch of
    time."""
    index = torch.arange(frames, device=embedding.device) * embedding.shape[1] // frames
    return embedding[:, index]
