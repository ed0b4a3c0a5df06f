"""Multi-phase gammatone filter bank, fixed (Ditter and Gerkmann, A multi-phase gammatone filterbank for speech
separation via TasNet, 2020, section 3)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from avsep.models.limits import check_whole
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder

LOWEST = 100.0
"""First centre frequency in Hz; the others follow at distances of 1 on the ERB scale, up to half the sample rate."""

# ERB scale of Glasberg and Moore (1990): widths in Hz are MINIMUM + f / QUALITY.
MINIMUM, QUALITY = 24.7, 9.265

MOST_FILTERS, MOST_TAPS = 4096, 4096


def centre_frequencies(sample_rate: int) -> np.ndarray:
    """In Hz: 24 at 8 kHz, 30 at 16 kHz."""
    corner = MINIMUM * QUALITY
    lowest, highest = QUALITY * np.log1p(np.array([LOWEST, sample_rate / 2]) / corner)
    return corner * np.expm1(np.arange(lowest, highest) / QUALITY)


def gammatones(filters: int, taps: int, sample_rate: int) -> np.ndarray:
    """Second-order gammatones of energy 1, (filters, taps) float64: the second half are the negatives of the first.

    All centre frequencies have as many phases, evenly spread over 0..pi; where it does not come out even, the lowest
    have one more. With fewer pairs than centre frequencies the highest have none. Raises ValueError for an odd number
    of filters.
    """
    centres = centre_frequencies(sample_rate)
    check_whole(2, MOST_FILTERS, filters=filters)
    check_whole(1, MOST_TAPS, kernel=taps)
    if filters % 2:
        raise ValueError(f"filters is {filters}; it must be even: gammatones come in pairs of both signs")
    phases = np.full(len(centres), filters // 2 // len(centres))
    phases[: filters // 2 % len(centres)] += 1
    place = np.arange(filters // 2) - np.repeat(np.cumsum(phases) - phases, phases)
    phase = np.pi * place / np.repeat(phases, phases)
    centre = np.repeat(centres, phases)[:, None]
    t = np.arange(1, taps + 1) / sample_rate
    # Order 2 makes the bandwidth parameter of the envelope 2 / pi times the equivalent rectangular one (0.108 is the
    # paper's 1 / QUALITY).
    bandwidth = 2 / np.pi * (MINIMUM + 0.108 * centre)
    half = t * np.exp(-2 * np.pi * bandwidth * t) * np.cos(2 * np.pi * centre * t + phase[:, None])
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    return np.concatenate([half, -half])


class GammatoneEncoder(Encoder):
    """`Encoder` whose filters are gammatones. They come in pairs of both signs, so that the rectifier loses nothing."""

    def __init__(self, filters: int, kernel: int, stride: int, sample_rate: int) -> None:
        super().__init__(filters, kernel, stride)
        _fix(self.conv, gammatones(filters, kernel, sample_rate))


class GammatoneDecoder(Decoder):
    """The pseudo-inverse of `GammatoneEncoder`: without masks it gives back the waveform, to rounding with 128 filters
    of 2 ms at 8 kHz, and to 1 % at 16 kHz, where few filters reach the highest frequencies."""

    def __init__(self, filters: int, kernel: int, stride: int, sample_rate: int) -> None:
        super().__init__(filters, kernel, stride)
        half = gammatones(filters, kernel, sample_rate)[: filters // 2]
        # Of a pair one is 0, the other the product with the filter; a sample lies in kernel / stride windows.
        inverse = np.linalg.pinv(half).T * stride / kernel
        _fix(self.conv, np.concatenate([inverse, -inverse]))


def _fix(conv: nn.Conv1d | nn.ConvTranspose1d, filters: np.ndarray) -> None:
    """Put filters (filters, taps) in place of the learned ones. They follow from the arguments: no file holds them."""
    del conv.weight
    conv.register_buffer("weight", torch.from_numpy(filters).float().unsqueeze(1), persistent=False)
