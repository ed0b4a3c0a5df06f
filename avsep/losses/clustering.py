"""Embeddings that lie together where one source is the loudest: deep clustering (Hershey et al., 2016)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError

Kind = Literal["affinity", "whitened"]
Weights = Literal["threshold", "magnitude"]

RIDGE = 1e-4
"""Of the sum of the weights, that is added to V'V before it is inverted: embeddings may leave a direction empty."""


def affinity_loss(embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean square difference of the affinities of all pairs of bins: |V V' - Y Y'|² / bins².

    embeddings V: (batch, bins, dims), labels Y: (batch, bins, sources), one-hot; weights: (batch, bins), at least 0,
    that of a pair being the product. Returns (batch,). Computed from the small products V'V, V'Y and Y'Y: bins * dims²
    steps in place of bins² * dims.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings, labels = full_precision(embeddings), full_precision(labels)
        total: Tensor | int = embeddings.shape[1]
        if weights is not None:
            root = full_precision(weights).sqrt().unsqueeze(-1)
            embeddings, labels = root * embeddings, root * labels
            total = full_precision(weights).sum(1).clamp_min(1)

        def product(a: Tensor, b: Tensor) -> Tensor:
            return (a.mT @ b).square().sum((1, 2))

        loss = product(embeddings, embeddings) - 2 * product(embeddings, labels) + product(labels, labels)
        # Rounding of the difference can fall below 0.
        return loss.clamp_min(0) / total**2


def whitened_loss(embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """How far embeddings, whitened, lie from the centres of their sources: dims - tr((V'V)⁻¹ V'Y (Y'Y)⁻¹ Y'V) (Wang, Le
    Roux and Hershey, 2018).

    Arguments as of `affinity_loss`. Returns (batch,), from dims less the sources that are there to dims; 0 where no
    bin has a weight. What the whitening leaves out is how the directions of the embeddings are spread and turned: only
    the space that they span counts.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings, labels = full_precision(embeddings), full_precision(labels)
        weights = torch.ones_like(embeddings[..., 0]) if weights is None else full_precision(weights)
        root, total = weights.sqrt().unsqueeze(-1), weights.sum(1)
        embeddings, labels = root * embeddings, root * labels
        dims = embeddings.shape[2]
        ridge = RIDGE * total.clamp_min(1)[:, None, None] * torch.eye(dims, device=total.device, dtype=total.dtype)
        factor = torch.linalg.cholesky(embeddings.mT @ embeddings + ridge)
        # Sources that own no bin have no centre.
        sums = embeddings.mT @ labels / labels.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt()
        explained = torch.linalg.solve_triangular(factor, sums, upper=False).square().sum((1, 2))
        return torch.where(total > 0, dims - explained, 0.0)


LOSSES = {"affinity": affinity_loss, "whitened": whitened_loss}


class DeepClustering(nn.Module):
    """`affinity_loss`, or another one, for models that give every time-frequency bin an embedding of unit length.

    A bin's label is the source loudest in it. kind: "affinity" (`affinity_loss`), whose bound is 0: all bins of a
    source at one point, at right angles to those of the others; or "whitened" (`whitened_loss`). weights of the bins:
    "threshold" counts those the same that lie less than `threshold_db` below the mixture's loudest, and the others not
    at all; "magnitude" counts each by its magnitude in the mixture (Wang, Le Roux and Hershey, 2018). Nothing hangs on
    the order of the sources, nor on a rotation of the embeddings.
    """

    def __init__(self, threshold_db: float = 40.0, kind: Kind = "affinity", weights: Weights = "threshold") -> None:
        super().__init__()
        for name, value, allowed in (("kind", kind, get_args(Kind)), ("weights", weights, get_args(Weights))):
            if value not in allowed:
                raise UsageError(f"DeepClustering: {name} is {value!r}; it must be one of {', '.join(allowed)}")
        self.threshold_db, self.kind, self.weights = threshold_db, kind, weights

    def forward(self, embeddings: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """embeddings (batch, freq, frames, dims), complex STFTs of the sources (batch, sources, freq, frames) and of
        the mixture (batch, freq, frames) -> (batch,)."""
        if embeddings.dim() != 4 or embeddings.shape[:3] != mixture.shape:
            raise ValueError(
                f"embeddings {tuple(embeddings.shape)}; expected (batch, freq, frames, dims) as the mixture's "
                f"spectrum has it, {tuple(mixture.shape)}"
            )
        owners = full_precision(sources).abs().argmax(1)
        weights = self.weigh(full_precision(mixture).abs())
        labels = functional.one_hot(owners, sources.shape[1]).to(weights.dtype)
        return LOSSES[self.kind](embeddings.flatten(1, 2), labels.flatten(1, 2), weights.flatten(1))

    def weigh(self, size: Tensor) -> Tensor:
        """Magnitudes (batch, freq, frames) -> weights of the same shape; by magnitude their mean is 1."""
        if self.weights == "magnitude":
            return size / size.mean((1, 2), keepdim=True).clamp_min(1e-12)
        loudest = size.amax((1, 2), keepdim=True)
        return (size > 10 ** (-self.threshold_db / 20) * loudest).to(size.dtype)
