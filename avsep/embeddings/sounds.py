"""Embeddings of sounds: a classifier's logits, for a separator to be conditioned on (Tzinis et al., 2020).

    mixture   of the mixture
    all       of the mixture and of each source, side by side
    soft_or   of all sources together: that at least one of them is of a class

Sources are estimates, or for an analysis the clean ones (an oracle). Everything is differentiable.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from avsep.models.sound_classifier import SoundClassifier

Embedding = Literal["mixture", "all", "soft_or"]

FAR = -15.0
"""Below, a logit and the logarithm of its softplus are the same to single precision."""


def embedding_size(kind: Embedding, classes: int, sources: int) -> int:
    """Numbers a frame of what `embed` gives."""
    _check(kind)
    return classes * (sources + 1 if kind == "all" else 1)


def embed(
    classifier: SoundClassifier,
    kind: Embedding,
    mixture: Tensor,
    sources: Tensor | None = None,
    averaged: bool = False,
) -> Tensor:
    """mixture (batch, time), sources (batch, sources, time) -> logits (batch, frames, size).

    "all" has the mixture's first, then those of each source in their order. averaged: one frame, the logits of the mean
    over time of the probabilities. Raises ValueError for sources that are missing where the kind needs them.
    """
    _check(kind)
    if kind == "mixture":
        logits = classifier(mixture)
        return average(logits) if averaged else logits
    if sources is None or sources.dim() != 3 or len(sources) != len(mixture):
        shape = None if sources is None else tuple(sources.shape)
        raise ValueError(
            f"sources are {shape}; the embedding {kind!r} of mixtures {tuple(mixture.shape)} needs (batch, sources, "
            "time)"
        )
    sounds = torch.cat([mixture[:, None], sources], 1) if kind == "all" else sources
    logits = classifier(sounds.flatten(0, 1)).unflatten(0, sounds.shape[:2])
    if averaged:
        logits = average(logits)
    return soft_or(logits) if kind == "soft_or" else logits.transpose(1, 2).flatten(2)


def soft_or(logits: Tensor) -> Tensor:
    """Of each source (batch, sources, ...) -> that at least one is of the class (batch, ...), as logits.

    With P = 1 - prod(1 - p) this is log(exp(s) - 1) of the sum s of the softplus of the logits: written so that it
    neither overflows nor rounds to certainty, whatever the logits.
    """
    x = logits.float()
    each = torch.where(x < FAR, x, functional.softplus(x.clamp(min=FAR)).log())
    small = each.logsumexp(1)
    total = small.clamp(min=FAR).exp()
    return torch.where(small < FAR, small, total + torch.log(-torch.expm1(-total)))


def average(logits: Tensor) -> Tensor:
    """(..., frames, classes) -> (..., 1, classes): the logits of the mean over frames of the probabilities."""
    x = logits.float()
    present, absent = (functional.logsigmoid(side).logsumexp(-2, keepdim=True) for side in (x, -x))
    return present - absent


def _check(kind: str) -> None:
    if kind not in get_args(Embedding):
        raise ValueError(f"embedding is {kind!r}; it must be one of {', '.join(get_args(Embedding))}")
