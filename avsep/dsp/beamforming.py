"""Beamformers: weights for the channels of each frequency, from covariances or delays, and their application.

Covariances are those of `avsep.dsp.spatial`, complex (..., freq, channels, channels); weights are (..., freq,
channels), and the output is w^H y. Everything is differentiable and stays finite for any input, also for channels that
are the same or silent: covariances count relative to their mean power, and the noise's has `loading` of it added on its
diagonal. A target without power gets weights of 0.

MVDR gives the target as it is at the reference microphone: by transfer functions with its level too, by Souden's
formula with less where the target's covariance holds noise (see `mvdr_souden`). GEV gives the phase of the reference
and the level of all microphones (root mean square).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torchaudio.functional import apply_beamforming, mvdr_weights_rtf, mvdr_weights_souden

from avsep.dsp.spatial import RecursiveCovariance, spatial_covariance, steering_vectors
from avsep.dsp.stft import full_precision

Beamformer = Literal["souden", "rtf", "gev"]

LOADING = 1e-6
"""Of the mean power of the channels: as much as the inverse of a matrix takes in float32."""
FAINT = 1e-12
"""Power that counts as nothing."""
CLOSEST = 1e-3
"""Of the largest eigenvalue: others that are closer to it count as so far away, which bounds the gradients."""


def beamform(weights: Tensor, spectrum: Tensor) -> Tensor:
    """w^H y: weights (..., freq, channels), spectrum (..., channels, freq, frames) -> (..., freq, frames). Leading
    dimensions are broadcast."""
    spectrum = full_precision(spectrum)
    leading = torch.broadcast_shapes(weights.shape[:-2], spectrum.shape[:-3])
    weights = weights.to(spectrum.dtype).expand(*leading, *weights.shape[-2:])
    return apply_beamforming(weights, spectrum.expand(*leading, *spectrum.shape[-3:]))


def delay_and_sum(delays: Tensor, frequencies: Tensor, reference: int = 0) -> Tensor:
    """Weights of the mean over the channels, each brought to the time of the reference.

    delays (..., channels) in s, by geometry or by `gcc_phat`; frequencies (freq,) in Hz -> (..., freq, channels).
    """
    relative = delays - delays[..., reference : reference + 1]
    return steering_vectors(relative, frequencies) / delays.shape[-1]


def mvdr_souden(target: Tensor, noise: Tensor, reference: int = 0, loading: float = LOADING) -> Tensor:
    """MVDR from two covariances alone (Souden, Benesty and Affes, 2010): N^-1 T u / trace(N^-1 T).

    Exact where T is the target's alone, p h h^H. With a share of the noise in it, T = p h h^H + d N, it is the mean of
    MVDR, weighted by p h^H N^-1 h, and of the reference over the number of channels, weighted by d channels: less is
    distorted where the masks are poor, and the target is quieter, by 1 to 4 dB with ratio masks of two talkers.
    """
    return mvdr_weights_souden(_unit(target), loaded(noise, loading), reference, diagonal_loading=False)


def mvdr_rtf(transfer: Tensor, noise: Tensor, reference: int = 0, loading: float = LOADING) -> Tensor:
    """MVDR from the target's transfer functions to the microphones, (..., freq, channels) up to a factor, or steering
    vectors: N^-1 h h_ref* / (h^H N^-1 h)."""
    power = transfer.real.square() + transfer.imag.square()
    transfer = transfer * (power.mean(-1, keepdim=True) + FAINT).rsqrt()
    return mvdr_weights_rtf(transfer, loaded(noise, loading), reference, diagonal_loading=False)


def multichannel_wiener(
    spectrum: Tensor, wanted: Tensor, covariance: Tensor | None = None, loading: float = LOADING
) -> Tensor:
    """Weights of the output that is closest to `wanted` (..., freq, frames), in the least squares.

    spectrum: (..., channels, freq, frames), with its `spatial_covariance` where that is known already. Nothing keeps
    the target from being distorted; it has the level and the phase of what is wanted.
    """
    spectrum = full_precision(spectrum)
    covariance = spatial_covariance(spectrum) if covariance is None else full_precision(covariance)
    shared = torch.einsum("...cft,...ft->...fc", spectrum, wanted.conj()) / spectrum.shape[-1]
    power = covariance.diagonal(dim1=-2, dim2=-1).real.mean(-1, keepdim=True)
    shared = shared / (power + FAINT)
    matrix = loaded(covariance, loading).expand(*shared.shape, shared.shape[-1])
    return torch.linalg.solve(matrix, shared.unsqueeze(-1)).squeeze(-1)


def gev(target: Tensor, noise: Tensor, reference: int = 0, loading: float = LOADING, normalise: bool = True) -> Tensor:
    """Weights of the highest ratio of target to noise (Warsitz and Haeb-Umbach, 2007): the principal generalised
    eigenvector.

    normalise: by `blind_analytic_normalisation`; without, the level of each frequency is arbitrary. With the phase of
    the target at the reference in both cases.
    """
    noise = loaded(noise, loading)
    target = _unit(target)
    weights = _principal(target, noise)
    at_reference = (noise @ weights.unsqueeze(-1))[..., reference, 0]
    weights = weights * (at_reference.conj() / at_reference.abs().clamp_min(FAINT)).unsqueeze(-1)
    if normalise:
        weights = blind_analytic_normalisation(weights, noise, loading=0.0)
    return weights * _presence(target)


def blind_analytic_normalisation(weights: Tensor, noise: Tensor, loading: float = LOADING) -> Tensor:
    """Weights of the level that the target has at the microphones, as the noise's covariance tells it (BAN, Warsitz and
    Haeb-Umbach, 2007): w sqrt(w^H N N w / channels) / (w^H N w).

    Exact for weights that are N^-1 h up to a factor (GEV, MVDR) of a target with the transfer functions h: the level is
    then the root mean square of h over the microphones. The factor is positive: phases stay.
    """
    noise = loaded(noise, loading)
    power = weights.real.square() + weights.imag.square()
    weights = weights * (power.sum(-1, keepdim=True) + FAINT).rsqrt()
    filtered = (noise @ weights.unsqueeze(-1)).squeeze(-1)
    size = (filtered.real.square() + filtered.imag.square()).mean(-1, keepdim=True)
    response = (weights.conj() * filtered).real.sum(-1, keepdim=True)
    return weights * (size + FAINT * FAINT).sqrt() / (response + FAINT)


def transfer_by_eigenvector(target: Tensor, noise: Tensor, loading: float = LOADING) -> Tensor:
    """The target's transfer functions up to a factor by covariance whitening (Markovich-Golan and Gannot, 2015): N w
    with the principal generalised eigenvector w, (..., freq, channels)."""
    noise, target = loaded(noise, loading), _unit(target)
    return (noise @ _principal(target, noise).unsqueeze(-1)).squeeze(-1) * _presence(target)


def transfer_by_subtraction(noisy: Tensor, noise: Tensor, reference: int = 0) -> Tensor:
    """The target's transfer functions up to a factor by covariance subtraction (Cohen, 2004): the reference's column of
    the covariance with target and noise minus that of the noise alone, both in the same scale. (..., freq, channels).
    """
    noisy = full_precision(noisy)
    power = noisy.diagonal(dim1=-2, dim2=-1).real.mean(-1, keepdim=True)
    return (noisy - noise)[..., reference] / (power + FAINT)


def beamformer_weights(
    kind: Beamformer, target: Tensor, noise: Tensor, reference: int = 0, loading: float = LOADING
) -> Tensor:
    """Weights by name: "souden", "rtf" (MVDR by the principal generalised eigenvector) or "gev". ValueError for other
    names."""
    check_beamformer(kind)
    if kind == "souden":
        return mvdr_souden(target, noise, reference, loading)
    if kind == "rtf":
        return mvdr_rtf(transfer_by_eigenvector(target, noise, loading), noise, reference, loading)
    return gev(target, noise, reference, loading)


def check_beamformer(kind: str) -> None:
    """ValueError for a name that `beamformer_weights` does not know."""
    if kind not in get_args(Beamformer):
        raise ValueError(f"beamformer is {kind!r}; it must be one of {', '.join(get_args(Beamformer))}")


class BlockBeamformer:
    """A beamformer for a signal that comes block by block: each block updates the covariances, and is then filtered.

    weights_of: of covariances of target and noise, `mvdr_souden` unless given. forgetting: as of `RecursiveCovariance`.
    """

    def __init__(self, weights_of: Callable[[Tensor, Tensor], Tensor] = mvdr_souden, forgetting: float = 1.0) -> None:
        self.weights_of = weights_of
        self.target, self.noise = RecursiveCovariance(forgetting), RecursiveCovariance(forgetting)

    def __call__(self, spectrum: Tensor, target: Tensor, noise: Tensor) -> Tensor:
        """The next frames (..., channels, freq, frames) and masks (..., freq, frames) -> (..., freq, frames)."""
        weights = self.weights_of(self.target.update(spectrum, target), self.noise.update(spectrum, noise))
        return beamform(weights, spectrum)


def beamform_in_blocks(
    spectrum: Tensor,
    target: Tensor,
    noise: Tensor,
    block: int,
    forgetting: float = 1.0,
    weights_of: Callable[[Tensor, Tensor], Tensor] = mvdr_souden,
) -> Tensor:
    """`BlockBeamformer` over a whole signal, `block` frames at a time: shapes as there."""
    online = BlockBeamformer(weights_of, forgetting)
    blocks = zip(*(x.split(block, -1) for x in (spectrum, target, noise)), strict=True)
    return torch.cat([online(*parts) for parts in blocks], -1)


def loaded(covariance: Tensor, loading: float = LOADING) -> Tensor:
    """A covariance of a mean power of 1 over the channels, with `loading` added on its diagonal."""
    unit = _unit(covariance)
    return unit + loading * torch.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)


def _unit(covariance: Tensor) -> Tensor:
    """With a mean power of 1 over the channels; 0 where there is none."""
    covariance = full_precision(covariance)
    power = covariance.diagonal(dim1=-2, dim2=-1).real.mean(-1)
    return covariance / (power + FAINT)[..., None, None]


def _presence(unit: Tensor) -> Tensor:
    """1 where there is a target, 0 where it has no power, from its `_unit` covariance: (..., freq, 1)."""
    return unit.diagonal(dim1=-2, dim2=-1).real.mean(-1, keepdim=True)


def _principal(target: Tensor, noise: Tensor) -> Tensor:
    """The generalised eigenvector w of the largest eigenvalue, target w = value noise w: (..., freq, channels).

    Of a target as `_unit` gives it and a noise as `loaded` does. Any phase; gradients hold for what does not depend on
    phase and length.
    """
    vectors, values = _eigen(target.detach(), noise.detach())
    first, largest = vectors[..., -1:], values[..., -1:]
    # First-order change of the eigenvector. Automatic gradients of `eigh` are infinite where two eigenvalues are the
    # same, which they are where channels or whole bins are silent.
    gap = (largest - values).maximum(CLOSEST * largest + CLOSEST)
    inverse = (1 / gap).unsqueeze(-1)
    inverse = torch.cat([inverse[..., :-1, :], torch.zeros_like(inverse[..., -1:, :])], -2)
    error = target @ first - largest.unsqueeze(-1) * (noise @ first)
    change = vectors @ (inverse * (vectors.mH @ (error - error.detach())))
    return (first + change).squeeze(-1)


def _eigen(target: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """All generalised eigenvectors as columns (..., channels, channels), and their values (..., channels), ascending;
    vectors^H noise vectors is the identity."""
    # In double precision: the whitened target's values span 1 / loading. By eigenvalues, not by Cholesky, which fails
    # where rounding has made one negative.
    power, basis = torch.linalg.eigh(noise.to(torch.complex128))
    whiten = basis * power.clamp_min(FAINT).rsqrt().unsqueeze(-2)
    values, vectors = torch.linalg.eigh(whiten.mH @ target.to(torch.complex128) @ whiten)
    return (whiten @ vectors).to(target.dtype), values.to(target.real.dtype)
