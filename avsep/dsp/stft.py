"""The short-time Fourier transform and its inverse, in torch; a signal comes back with the length it had."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW, HOP = 512, 128
"""Samples; at 16 kHz 32 ms in steps of 8 ms, as in Deep Clustering (Hershey et al., 2016)."""


def full_precision(x: Tensor) -> Tensor:
    """float32 at least: halves lose the powers of quiet bins."""
    return x if x.dtype in (torch.float64, torch.complex64, torch.complex128) else x.float()


def power_law(bins: Tensor, power: float = 0.3, floor: float = 1e-3) -> Tensor:
    """Complex bins of magnitude m -> m^power with their phase, which lifts quiet ones; linear below `floor`, as the
    slope at 0 is infinite."""
    return bins * bins.abs().clamp_min(floor) ** (power - 1)


def check_window(window: int, hop: int) -> None:
    """ValueError for sizes that `stft` does not take."""
    if window % 2 or not 0 < hop <= window // 2:
        raise ValueError(f"window {window} and hop {hop}, expected an even window and a hop of 1 to half of it")


def stft(x: Tensor, window: int = WINDOW, hop: int = HOP, points: int | None = None) -> Tensor:
    """(..., time) -> complex (..., points // 2 + 1, frames), frames = 1 + ceil(time / hop).

    Hann window; frame n is centred on sample n * hop, and beyond the ends there is silence, so that any length of at
    least one sample will do. Linear, no scaling. window must be even and hop at most half of it, which the inverse
    needs; ValueError otherwise. points: of the Fourier transform, the window's unless given; with more of them there
    are zeros around the window.
    """
    check_window(window, hop)
    time = x.shape[-1]
    flat = functional.pad(full_precision(x).reshape(-1, time), (0, -time % hop))
    shape = torch.hann_window(window, dtype=flat.dtype, device=flat.device)
    sizes = points or window, hop, window
    bins = torch.stft(flat, *sizes, window=shape, center=True, pad_mode="constant", return_complex=True)
    return bins.reshape(*x.shape[:-1], *bins.shape[-2:])


def istft(bins: Tensor, time: int, window: int = WINDOW, hop: int = HOP, points: int | None = None) -> Tensor:
    """The inverse of `stft` for a signal of `time` samples: complex (..., freq, frames) -> (..., time).

    Bins no signal has (masked ones) give the signal whose STFT is nearest (Griffin and Lim, 1984).
    """
    frames = 1 + -(-time // hop)
    points = points or window
    if bins.shape[-2:] != (points // 2 + 1, frames):
        raise ValueError(
            f"{tuple(bins.shape[-2:])} bins and frames, expected {(points // 2 + 1, frames)} "
            f"for {time} samples, window {window} and hop {hop}"
        )
    flat = bins.reshape(-1, *bins.shape[-2:])
    shape = torch.hann_window(window, dtype=flat.real.dtype, device=flat.device)
    samples = torch.istft(flat, points, hop, window, window=shape, center=True, length=time)
    return samples.reshape(*bins.shape[:-2], time)
