"""The multichannel Wiener filter of sources that have a spatial covariance each and a power in each bin."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 32
"""Frequencies that are filtered at a time: a matrix for each bin of all of them would take gigabytes."""
LOADING = 1e-5
"""Of the mean power of the channels, on the diagonal of each bin's covariance."""


def wiener_filter(vectors: Tensor, power: Tensor, shapes: Tensor, wanted: int, rounds: int = 0) -> Tensor:
    """What each source is at each microphone: (wanted, channels, freq, frames), of the first `wanted` sources.

    vectors: complex (freq, channels, frames), what the microphones have; of about unit length, as the loading counts
    relative to the power. power: (freq, sources, frames), of each source's image in each bin, noise among the sources.
    shapes: complex (freq, sources, channels, channels), spatial covariances of trace `channels`. The images of all
    sources add up to the vectors (Duong et al., Under-determined reverberant audio source separation using a full-rank
    spatial covariance model, 2010). rounds: how often the powers are made likelier first, by multiplicative updates
    (Sawada et al., Multichannel extensions of non-negative matrix factorization, 2013).
    """
    blocks = zip(vectors.split(BLOCK), power.split(BLOCK), shapes.split(BLOCK), strict=True)
    made = [_filter(x, v, shape, wanted, rounds) for x, v, shape in blocks]
    return torch.cat(made, 1).permute(0, 3, 1, 2)


def refined_images(images: Tensor, mixture: Tensor, iterations: int) -> Tensor:
    """Images of all sources, filtered anew with the powers and spatial covariances that they have themselves.

    images: complex (sources, channels, freq, frames), a first guess; mixture: complex (channels, freq, frames), which
    the result sums to but for the loading. One iteration takes the mean power of a source's channels in each bin, and
    for each frequency one covariance, weighted by that power (Nugraha, Liutkus and Vincent, Multichannel music
    separation with deep neural networks, 2016; the simplified expectation-maximisation that Open-Unmix uses).
    """
    # The loading counts against a level of about 1.
    level = mixture.abs().square().mean().sqrt().clamp_min(1e-8)
    images, vectors = images / level, (mixture / level).transpose(0, 1)
    for _ in range(iterations):
        power = images.abs().square().mean(1)
        signals = images.permute(2, 0, 1, 3)
        shapes = signals @ signals.mH / power.sum(-1).mT.clamp_min(1e-10)[..., None, None]
        images = wiener_filter(vectors, power.transpose(0, 1), shapes, len(images))
    return images * level


def _filter(vectors: Tensor, power: Tensor, shapes: Tensor, wanted: int, rounds: int) -> Tensor:
    """(wanted, freq, frames, channels), the rest as of `wiener_filter`."""
    x, v = vectors.mT, power.mT
    sources, channels = shapes.shape[1:3]
    identity = torch.eye(channels, dtype=x.dtype, device=x.device)
    for number in range(rounds + 1):
        covariance = (v.to(x.dtype) @ shapes.flatten(2)).unflatten(-1, (channels, channels))
        # All shapes have the same trace.
        floor = LOADING * v.sum(-1)[..., None, None].clamp_min(LOADING)
        covariance = covariance + floor * identity
        if number == rounds:
            whitened = torch.linalg.solve(covariance, x.unsqueeze(-1)).squeeze(-1)
            break
        inverse = torch.linalg.inv(covariance)
        whitened = (inverse @ x.unsqueeze(-1)).squeeze(-1)
        found = [(whitened.conj() * (whitened @ shapes[:, k].mT)).sum(-1).real for k in range(sources)]
        expected = (inverse.flatten(2) @ shapes.mT.flatten(2).mT).real
        v = v * (torch.stack(found, -1).clamp_min(0) / expected.clamp_min(LOADING)).sqrt()
    return torch.stack([v[..., k, None] * (whitened @ shapes[:, k].mT) for k in range(wanted)])
