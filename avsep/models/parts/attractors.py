"""Attractors: one place a source in the space of embeddings, and masks from how near each bin is to them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avsep.dsp.stft import full_precision

LEAST = 1e-8
"""Of a sum of weights, so that a source without bins gets the origin."""


def loudest_bins(spectrum: Tensor, share: float) -> Tensor:
    """Which bins of a mixture (batch, freq, frames) belong to that share of them that is loudest; bins of digital
    silence never do. Boolean, of the same shape."""
    size = spectrum.abs()
    flat = size.flatten(1)
    kept = max(1, math.ceil(share * flat.shape[1]))
    threshold = flat.kthvalue(flat.shape[1] - kept + 1, dim=1).values
    return (size >= threshold[:, None, None]) & (size > 0)


def centroids(embeddings: Tensor, weights: Tensor) -> Tensor:
    """Weighted means of embeddings: (batch, freq, frames, dims), (batch, sources, freq, frames) -> (batch, sources,
    dims) (Luo et al., 2018, eq. 9)."""
    weights = full_precision(weights).flatten(2)
    total = weights @ full_precision(embeddings).flatten(1, 2)
    return total / weights.sum(2, keepdim=True).clamp_min(LEAST)


def masks_by(embeddings: Tensor, attractors: Tensor, present: Tensor | None = None) -> Tensor:
    """Softmax over the sources of the products of embeddings (batch, freq, frames, dims) and attractors (batch,
    sources, dims) -> (batch, sources, freq, frames), which sum to 1 (eq. 10 to 12).

    present: (batch, sources) boolean, who is there at all; the others get no part of a bin.
    """
    products = full_precision(attractors) @ full_precision(embeddings).flatten(1, 2).mT
    if present is not None:
        products = products.masked_fill(~present.unsqueeze(2), torch.finfo(products.dtype).min)
    return products.softmax(1).unflatten(2, embeddings.shape[1:3])


def anchored(embeddings: Tensor, anchors: Tensor, sources: int, weights: Tensor) -> Tensor:
    """Attractors (batch, sources, dims) that follow from anchors (n, dims), for each mixture from another few of them
    (Luo et al., 2018, section III-D).

    Every `sources` of the anchors share out the bins, embeddings (batch, freq, frames, dims), by a softmax of their
    products; the centroids of these shares, weighted with `weights` (batch, freq, frames), are possible attractors.
    Those whose most similar pair is least similar, by its product, are taken.
    """
    subsets = torch.combinations(torch.arange(len(anchors), device=anchors.device), sources)
    points = full_precision(embeddings).flatten(1, 2)
    near = full_precision(anchors) @ points.mT
    shares = near.index_select(1, subsets.flatten()).unflatten(1, subsets.shape).softmax(2)
    shares = (shares * weights.to(shares).flatten(1)[:, None, None]).flatten(1, 2)
    found = (shares @ points) / shares.sum(2, keepdim=True).clamp_min(LEAST)
    found = found.unflatten(1, subsets.shape)  # (batch, choices, sources, dims)
    own = torch.eye(sources, dtype=torch.bool, device=found.device)
    likeness = (found @ found.mT).masked_fill(own, -torch.inf).flatten(2).amax(2)
    return found[torch.arange(len(found), device=found.device), likeness.argmin(1)]
