"""Embeddings that lie together where one source is the loudest: deep clustering (Hershey et al., 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision


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


class DeepClustering(nn.Module):
    """`affinity_loss` for models that give every time-frequency bin an embedding of unit length.

    A bin's label is the source loudest in it; bins more than `threshold_db` below the mixture's loudest count
    nothing. The bound is 0: all bins of a source at one point, at right angles to those of the others. Nothing hangs on
    the order of the sources, nor on a rotation of the embeddings.
    """

    def __init__(self, threshold_db: float = 40.0) -> None:
        super().__init__()
        self.threshold_db = threshold_db

    def forward(self, embeddings: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """embeddings (batch, freq, frames, dims), complex STFTs of the sources (batch, sources, freq, frames) and of
        the mixture (batch, freq, frames) -> (batch,)."""
        if embeddings.dim() != 4 or embeddings.shape[:3] != mixture.shape:
            raise ValueError(
                f"embeddings {tuple(embeddings.shape)}; expected (batch, freq, frames, dims) as the mixture's "
                f"spectrum has it, {tuple(mixture.shape)}"
            )
        size = full_precision(mixture).abs()
        loudest = size.amax((1, 2), keepdim=True)
        weights = (size > 10 ** (-self.threshold_db / 20) * loudest).to(size.dtype)
        owners = full_precision(sources).abs().argmax(1)
        labels = functional.one_hot(owners, sources.shape[1]).to(size.dtype)
        return affinity_loss(embeddings.flatten(1, 2), labels.flatten(1, 2), weights.flatten(1))
