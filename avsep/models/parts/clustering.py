"""From embeddings of time-frequency bins to masks, by k-means."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torch.nn import functional

Masks = Literal["binary", "soft"]

STARTS, ITERATIONS = 4, 30
"""Of k-means: from how many beginnings, of which the best result is taken, and for how long."""

MOST_POINTS = 20_000
"""Bins that the centres are fitted to; more of them do not move the centres."""


def check_clustering(masks: str, threshold_db: float) -> None:
    """ValueError for masks or a threshold that `audible_bins` and `cluster_masks` do not take."""
    if masks not in get_args(Masks):
        raise ValueError(f"masks is {masks!r}; it must be one of {', '.join(get_args(Masks))}")
    if not 0 <= threshold_db <= 200:
        raise ValueError(f"threshold_db is {threshold_db}; it must be 0 to 200")


def audible_bins(spectrum: Tensor, threshold_db: float) -> Tensor:
    """Bins less than `threshold_db` below the loudest of their item: complex (batch, freq, frames) -> bool."""
    size = spectrum.abs()
    return size > 10 ** (-threshold_db / 20) * size.amax((1, 2), keepdim=True)


def cluster_masks(
    embeddings: Tensor, audible: Tensor, sources: int, masks: Masks = "binary", sharpness: float = 5.0
) -> Tensor:
    """(freq, frames, dims), (freq, frames) bool -> (sources, freq, frames), which sum to 1.

    The centres are those of the audible bins. masks: "binary", or "soft" with `sharpness` times the squared distance
    to the centres in the exponent.
    """
    centres = cluster(embeddings[audible].detach().cpu().numpy(), sources)
    if centres is None:
        return embeddings.new_full((sources, *audible.shape), 1 / sources)
    # One centre at a time: all differences at once would take many times the memory of the embeddings.
    places = torch.from_numpy(centres).to(embeddings)
    distance = torch.stack([(embeddings - place).square().sum(2) for place in places])
    if masks == "soft":
        return (-sharpness * distance).softmax(0)
    return functional.one_hot(distance.argmin(0), sources).movedim(2, 0).to(embeddings)


def cluster(points: np.ndarray, count: int) -> np.ndarray | None:
    """Centres (count, dims) of points (n, dims) by k-means; the same for the same points. None for fewer points than
    centres."""
    points = points[:: -(-len(points) // MOST_POINTS) or 1].astype(np.float64)
    if len(points) < count:
        return None
    found = []
    for seed in range(STARTS):
        centres, labels = kmeans2(points, count, ITERATIONS, minit="++", seed=seed)
        found.append((np.square(points - centres[labels]).sum(), seed, centres))
    return min(found)[2]
