"""Time-frequency masks from the directions that sounds come from: a complex angular central Gaussian mixture model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Weights = Literal["frequency", "frame", "given"]

FLOOR = 1e-5
"""Least eigenvalue of a shape matrix, in parts of its largest: what a float32 observation can tell. It keeps the
matrices regular where channels are copies of each other."""
DIFFUSE = 0.1
"""Share of the noise that comes from everywhere, whatever is learnt. Without it, in a room without noise, the class of
the noise takes the place of a talker."""
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class AngularMixture:
    """A fitted model; the last class is noise.

    posteriors: (freq, classes, frames) in 0..1, adding up to 1 over the classes. shapes: complex (freq, classes,
    channels, channels), Hermitian, of trace `channels`. power: (freq, classes, frames), the likeliest power of each
    class if a bin were its alone: such that power times shape is the covariance of the bin's vector, brought to a
    length of 1. log_likelihood: (iterations,) of the model in each iteration, the mean over bins.
    """

    posteriors: Tensor
    shapes: Tensor
    power: Tensor
    log_likelihood: Tensor


def fit_cacgmm(
    bins: Tensor,
    activity: Tensor,
    iterations: int = 20,
    weights: Weights = "frequency",
    noise: Tensor | None = None,
) -> AngularMixture:
    """Fit classes that are active at known times, and noise that always is, by expectation maximisation.

    bins: complex STFT (channels, freq, frames). activity: (classes, frames) in 0..1, how likely each class is active in
    each frame, or (classes, freq, frames), in each bin, as masks are; it multiplies the learnt weights of the classes,
    so that a class has mask 0 where it is 0, and holds the same class together over all frequencies. noise: the same
    for the noise, (freq, frames); 1 where it is not given. weights: "frequency", of each class in each frequency, the
    same for all frames (guided source separation), "frame", of each class in each frame, the same for all frequencies,
    or "given", none but the activities.

    The model is that of Ito et al., Complex angular central Gaussian mixture model for directional statistics in
    mask-based microphone array signal processing, 2016; with activities of Boeddeker et al., Front-end processing for
    the CHiME-5 dinner party scenario, 2018. Only the direction of the vector of channels counts in each bin, not its
    level. Where all channels are silent, a bin says nothing and the prior is its posterior.

    Raises ValueError for shapes that do not fit, activities beyond 0..1 and unknown weights.
    """
    _check(bins, activity, iterations, weights)
    unit, sounds = unit_vectors(bins)
    each = activity if activity.dim() == 3 else activity.unsqueeze(1).expand(-1, len(unit), -1)
    of_noise = each.new_ones(1, *each.shape[1:]) if noise is None else noise.unsqueeze(0)
    prior = torch.cat([each, of_noise]).transpose(0, 1).to(unit.real.dtype)
    given = prior / prior.sum(1, keepdim=True).clamp_min(TINY)
    posteriors = given
    # Before anything is learnt each bin counts the same.
    quadratic = torch.ones_like(posteriors)
    history = []
    shapes = unit.new_zeros(())
    for number in range(iterations):
        shapes = _shapes(unit, posteriors * sounds / quadratic, (posteriors * sounds).sum(-1))
        # Noise begins as coming from everywhere, else it would stay the same as somebody who is always active.
        diffuse = DIFFUSE if number else 1.0
        shapes[:, -1] = (1 - diffuse) * shapes[:, -1] + diffuse * torch.eye(len(bins), device=shapes.device)
        learnt = _learnt(posteriors, sounds, weights)
        density, quadratic = _log_density(unit, shapes)
        joint = density + (learnt * prior).clamp_min(0).log()
        total = joint.logsumexp(1, keepdim=True)
        posteriors = torch.where(sounds > 0, (joint - total).exp(), given)
        history.append((total * sounds).sum() / sounds.sum().clamp_min(1))
    return AngularMixture(posteriors, shapes, quadratic / len(bins), torch.stack(history))


def unit_vectors(bins: Tensor) -> tuple[Tensor, Tensor]:
    """(channels, freq, frames) -> the vectors of channels brought to length 1, complex (freq, channels, frames), and
    where there is sound at all: (freq, 1, frames), 1 or 0."""
    vectors = bins.transpose(0, 1).contiguous()
    # In two steps: the squares of a soft bin are below the smallest float32.
    peak = vectors.abs().amax(1, keepdim=True)
    sounds = peak > torch.finfo(peak.dtype).tiny
    scaled = vectors / torch.where(sounds, peak, 1)
    unit = scaled / torch.where(sounds, torch.linalg.vector_norm(scaled, dim=1, keepdim=True), 1)
    return torch.where(sounds, unit, 0), sounds.to(peak.dtype)


def _check(bins: Tensor, activity: Tensor, iterations: int, weights: str) -> None:
    if bins.dim() != 3 or not bins.is_complex():
        raise ValueError(f"bins {tuple(bins.shape)} {bins.dtype}; expected complex (channels, freq, frames)")
    if tuple(activity.shape[1:]) not in ((bins.shape[2],), tuple(bins.shape[1:])):
        raise ValueError(
            f"activity {tuple(activity.shape)}; expected (classes, frames) or (classes, freq, frames) with "
            f"{bins.shape[1]} frequencies and {bins.shape[2]} frames"
        )
    if activity.numel() and not (activity.min() >= 0 and activity.max() <= 1):
        low, high = activity.min().item(), activity.max().item()
        raise ValueError(f"activity from {low:g} to {high:g}; expected 0..1")
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; it must be 1 or more")
    if weights not in get_args(Weights):
        raise ValueError(f"weights is {weights!r}; expected one of {', '.join(get_args(Weights))}")


def _learnt(posteriors: Tensor, sounds: Tensor, weights: Weights) -> Tensor:
    """Weights of the classes: (freq, classes, 1) or (1, classes, frames); 1 where none are learnt."""
    if weights == "given":
        return posteriors.new_ones(1, 1, 1)
    over = -1 if weights == "frequency" else 0
    count = sounds.sum(over, keepdim=True)
    learnt = (posteriors * sounds).sum(over, keepdim=True) / count.clamp_min(1)
    return torch.where(count > 0, learnt, 1 / posteriors.shape[1])


def _shapes(unit: Tensor, weight: Tensor, total: Tensor) -> Tensor:
    """One step towards the most likely shape matrices (Tyler's fixed point): weight (freq, classes, frames), total
    (freq, classes) -> (freq, classes, channels, channels)."""
    channels = unit.shape[1]
    sums = torch.stack([(unit * weight[:, k, None]) @ unit.mH for k in range(weight.shape[1])], 1)
    identity = torch.eye(channels, dtype=unit.dtype, device=unit.device)
    heard = total[..., None, None] > TINY
    shapes = torch.where(heard, channels * sums / total.clamp_min(TINY)[..., None, None], identity)
    trace = shapes.diagonal(dim1=-2, dim2=-1).real.sum(-1)[..., None, None]
    return channels * shapes / trace.clamp_min(TINY)


def _log_density(unit: Tensor, shapes: Tensor) -> tuple[Tensor, Tensor]:
    """Log density of every vector in every class, but for a constant, and its quadratic form z^H B^-1 z: both (freq,
    classes, frames)."""
    channels = unit.shape[1]
    # The matrices are few and small: they are inverted in double precision.
    values, vectors = torch.linalg.eigh(shapes.to(torch.complex128))
    values = values.clamp_min(FLOOR * values[..., -1:].clamp_min(TINY))
    whitening = (vectors / values.sqrt()[..., None, :]).mH.to(unit.dtype)
    # Class by class: all of them at once would take as much memory as the spectra times the classes.
    forms = [torch.view_as_real(whitening[:, k] @ unit).square_().sum((1, 3)) for k in range(shapes.shape[1])]
    quadratic = torch.stack(forms, 1).clamp_min(TINY)
    log_determinant = values.log().sum(-1)[..., None].to(quadratic.dtype)
    return -log_determinant - channels * quadratic.log(), quadratic
