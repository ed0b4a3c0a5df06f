"""What several microphones tell of where a sound is: phase differences, covariances, delays and steering vectors.

Spectra are those of `avsep.dsp.stft`: complex (..., channels, freq, frames). Delays are in seconds, positive where a
sound arrives later. Everything has gradients but the delays of `gcc_phat`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision

SPEED_OF_SOUND = 343.0
"""In m/s, as pyroomacoustics has it."""

TINY = 1e-10
"""Sum of weights that counts as nothing."""
FAINT = 1e-12
"""Power of a bin that counts as nothing: its phase is noise."""


def interchannel_phase(spectrum: Tensor, pairs: Sequence[tuple[int, int]] | None = None) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the phase differences (IPD): (..., channels, freq, frames) -> twice (..., pairs, freq,
    frames).

    The phase of a pair's first channel minus that of its second. pairs: every other channel with the first one unless
    given. Both are 0 in bins where a channel is silent. The angle itself is never made: it jumps at pi (Wang, Le Roux
    and Hershey, Multi-channel deep clustering, 2018).
    """
    spectrum = full_precision(spectrum)
    if pairs is None:
        pairs = [(channel, 0) for channel in range(1, spectrum.shape[-3])]
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    turned = phases(spectrum[..., first, :, :]) * phases(spectrum[..., second, :, :]).conj()
    return turned.real, turned.imag


def phases(spectrum: Tensor) -> Tensor:
    """Every bin with a magnitude of 1, those without power 0; the gradient is finite everywhere."""
    power = spectrum.real.square() + spectrum.imag.square()
    return spectrum * (power + FAINT).rsqrt()


def spatial_covariance(spectrum: Tensor, weights: Tensor | None = None) -> Tensor:
    """Weighted mean over the frames of y y^H: (..., channels, freq, frames) -> Hermitian (..., freq, channels,
    channels).

    weights: masks of 0 or more, (..., freq, frames), all 1 unless given; leading dimensions are broadcast, so that
    spectrum.unsqueeze(1) and masks (batch, sources, freq, frames) give (batch, sources, freq, channels, channels).
    Where all weights are 0 the covariance is 0. The same as `torchaudio.functional.psd`, which holds a matrix for
    every bin in memory.
    """
    bins = full_precision(spectrum).transpose(-3, -2)
    if weights is None:
        return bins @ bins.mH / bins.shape[-1]
    weights = full_precision(weights)
    weights = weights / (weights.sum(-1, keepdim=True) + TINY)
    return (bins * weights.unsqueeze(-2)) @ bins.mH


class RecursiveCovariance:
    """`spatial_covariance` of all frames so far, block by block.

    forgetting: what is left of a frame's weight at the next one, above 0 and at most 1. With 1 the covariance after the
    last block is that of the whole signal; else frames count for about 1 / (1 - forgetting) frames.
    """

    def __init__(self, forgetting: float = 1.0) -> None:
        if not 0 < forgetting <= 1:
            raise ValueError(f"forgetting is {forgetting}; it must be above 0 and at most 1")
        self.forgetting = forgetting
        self.total: Tensor | None = None
        self.weight: Tensor | None = None

    def update(self, spectrum: Tensor, weights: Tensor | None = None) -> Tensor:
        """The next frames, shapes as of `spatial_covariance`, -> covariance (..., freq, channels, channels)."""
        bins = full_precision(spectrum).transpose(-3, -2)
        frames = bins.shape[-1]
        age = torch.arange(frames - 1, -1, -1, device=bins.device)
        fade = torch.tensor(self.forgetting, device=bins.device, dtype=bins.real.dtype) ** age
        weights = fade if weights is None else full_precision(weights) * fade
        total = (bins * weights.unsqueeze(-2)) @ bins.mH
        weight = weights.sum(-1)
        if self.total is not None and self.weight is not None:
            kept = self.forgetting**frames
            total, weight = total + kept * self.total, weight + kept * self.weight
        self.total, self.weight = total, weight
        return total / (weight[..., None, None] + TINY)


def bin_frequencies(window: int, sample_rate: int) -> Tensor:
    """Of the bins of a transform of `window` points, in Hz: (window // 2 + 1,)."""
    return torch.fft.rfftfreq(window, 1 / sample_rate)


def plane_wave_delays(positions: Tensor, azimuth: Tensor | float, elevation: Tensor | float = 0.0) -> Tensor:
    """When a wave from far away arrives at each microphone, against the origin of the coordinates.

    positions: (channels, 2 or 3) in m. azimuth, elevation: where it comes from, in radians, (...); azimuth 0 is along
    x, pi / 2 along y, elevation pi / 2 along z. -> (..., channels) in s.
    """
    angles = (torch.as_tensor(angle, dtype=positions.dtype, device=positions.device) for angle in (azimuth, elevation))
    around, up = torch.broadcast_tensors(*angles)
    towards = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], -1)
    return -(towards @ _in_space(positions).mT) / SPEED_OF_SOUND


def point_source_delays(positions: Tensor, source: Tensor) -> Tensor:
    """How long sound takes from a place: positions (channels, 2 or 3) and source (..., 2 or 3) in m -> (..., channels)
    in s."""
    return (_in_space(source).unsqueeze(-2) - _in_space(positions)).norm(dim=-1) / SPEED_OF_SOUND


def _in_space(places: Tensor) -> Tensor:
    """(..., 2 or 3) -> (..., 3), a height of 0 where there is none."""
    if places.shape[-1] not in (2, 3):
        raise ValueError(f"places {tuple(places.shape)}; expected (..., 2) or (..., 3), coordinates in metres")
    return functional.pad(places, (0, 3 - places.shape[-1]))


def steering_vectors(delays: Tensor, frequencies: Tensor) -> Tensor:
    """exp(-2 pi i f delay): delays (..., channels) in s and frequencies (freq,) in Hz -> complex (..., freq,
    channels).

    Subtract the delay at a microphone first, and the vectors are relative to that one.
    """
    angle = -2 * torch.pi * frequencies.to(delays).unsqueeze(-1) * delays.unsqueeze(-2)
    return torch.polar(torch.ones_like(angle), angle)


def angle_feature(spectrum: Tensor, delays: Tensor, frequencies: Tensor, weights: Tensor) -> Tensor:
    """How well the phase differences of each bin fit a source: (batch, channels, freq, frames) and its delays (batch,
    sources, channels) in s -> (batch, sources, freq, frames) in -1..1 (Chen et al., Multi-channel overlapped speech
    recognition with location guided speech extraction network, 2018).

    The cosine of the phase difference that a pair of the first channel and another has, less that which the delays
    give, in the mean over the pairs. frequencies: of the bins, in Hz. weights: (batch, channels - 1), of the pairs.
    """
    bins = phases(full_precision(spectrum))
    turned = bins[:, :1] * bins[:, 1:].conj() * weights[..., None, None]
    expected = steering_vectors(delays[..., 1:] - delays[..., :1], frequencies)
    return torch.einsum("bcft,bsfc->bsft", turned, expected.to(turned.dtype)).real


def gcc_phat(
    spectrum: Tensor,
    sample_rate: int,
    weights: Tensor | None = None,
    reference: int = 0,
    longest: float = 0.001,
    points: int = 16,
) -> Tensor:
    """Delays of the channels behind the reference by generalised cross-correlation with phase transform (Knapp and
    Carter, 1976): (..., channels, freq, frames) -> (..., channels) in s.

    The cross-spectra are means over the frames, with weights as in `spatial_covariance`, so that a mask tells whose
    delays they are. longest: in s, both ways; a delay is sought among `points` a sample. The window must be longer than
    the longest delay. Without gradients: it is the place of a maximum. Silent channels have no delay, 0.
    """
    if longest <= 0 or points < 1:
        raise ValueError(f"longest is {longest} s and points {points}; both must be above 0")
    with torch.no_grad():
        cross = spatial_covariance(phases(full_precision(spectrum)), weights)[..., reference].mT
        # (..., channels, freq): all bins count the same, whatever their power.
        samples = 2 * (spectrum.shape[-2] - 1) * points
        correlation = torch.fft.irfft(phases(cross), samples)
        most = min(round(longest * sample_rate * points), samples // 2 - 1)
        near = torch.cat([correlation[..., -most:], correlation[..., : most + 1]], -1)
        lag = near.argmax(-1) - most
        lag = torch.where(cross.abs().amax(-1) > 0, lag, 0)
        return lag / (sample_rate * points)
