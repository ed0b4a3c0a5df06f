"""Separation by several microphones without anything learnt before: independent component analysis of each frequency
(FastICA, Hyvärinen, 1999; for complex signals Bingham and Hyvärinen, 2000)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from avsep.dsp.beamforming import loaded
from avsep.dsp.spatial import spatial_covariance
from avsep.dsp.stft import istft, stft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.signals import SAMPLE_RATE

CONTRAST = 0.1
"""Of the nonlinearity 1 / (CONTRAST + |y|^2), as Bingham and Hyvärinen have it."""
TINY = 1e-12
NEIGHBOURS = 3
"""Bins on either side that a bin's order is held against in the end."""
SWEEPS = 30
"""Most rounds of each part of the alignment; it ends when nothing changes."""


class FastICA(SeparationModel):
    """As many estimates as microphones, or `sources` of them, each as it arrives at every microphone.

    Without weights and training. In a room sounds are delayed and reverberate, so that one matrix does not unmix them
    (which is what scikit-learn's FastICA looks for, in real numbers): here every frequency of the STFT has its own,
    complex one. The bins are whitened, reduced to as many components as sources; the fixed-point iteration with
    symmetric decorrelation runs for all frequencies at once. The order of the components is then another one in every
    frequency. It is aligned by the courses in time of their shares of the power (Sawada, Araki and Makino, 2007): first
    against the mean courses over all frequencies, by turns as in k-means, then each against its neighbours and
    harmonics. The scale is that of the microphones (minimal distortion principle).

    With as many sources as microphones the estimates add up to the mixture. The talkers must keep their places.

    window and hop in samples: a window should be about as long as the room reverberates. iterations: at most.
    """

    paper = "Bingham and Hyvärinen, A fast fixed-point algorithm for independent component analysis of complex signals"
    year = 2000

    def __init__(
        self,
        sources: int | None = None,
        window: int = 4096,
        hop: int = 1024,
        iterations: int = 50,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(1, 1000, iterations=iterations)
        check_whole(2, 128, most_channels=most_channels)
        if sources is not None and not 1 <= sources <= most_channels:
            raise ValueError(f"sources is {sources}; it must be 1 to most_channels = {most_channels}, or None")
        self.window, self.hop, self.iterations = window, hop, iterations
        channels = (max(2, sources or 2), most_channels)
        self.contract = Contract(sample_rate, channels, sources=sources, segment_seconds=60.0)

    @torch.no_grad()
    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, sources, channels, time), without gradients."""
        self.check(mixture)
        spectra = stft(mixture.double(), self.window, self.hop)
        made = [self._estimates(spectrum, mixture.shape[-1]) for spectrum in spectra]
        return Output(torch.stack(made).to(mixture))

    def _estimates(self, spectrum: Tensor, time: int) -> Tensor:
        """(channels, freq, frames) -> (sources, channels, time)."""
        count = self.contract.sources or len(spectrum)
        filters, back = components(spectrum, count, self.iterations)
        found = filters @ spectrum.transpose(0, 1)
        order = align(power_shares(found, back)).to(found.device)
        found = found.gather(1, order.unsqueeze(2).expand_as(found))
        back = back.gather(2, order.unsqueeze(1).expand_as(back))
        # One source at a time: all of their spectra at all microphones would take gigabytes.
        images = (back[:, :, n].mT.unsqueeze(2) * found[:, n] for n in range(count))
        return torch.stack([istft(image, time, self.window, self.hop) for image in images])


def components(spectrum: Tensor, count: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Filters (freq, count, channels) that make components of (channels, freq, frames) complex128 as independent as
    they can be, and the way back to the microphones (freq, channels, count)."""
    covariance = loaded(spatial_covariance(spectrum))
    power, basis = torch.linalg.eigh(covariance)
    power, basis = power[:, -count:], basis[:, :, -count:]
    whiten = basis.mH / power.sqrt().unsqueeze(2)
    # The covariance was brought to a mean power of 1, the bins were not.
    level = spectrum.abs().square().mean((0, 2)).sqrt() + TINY
    x = whiten @ (spectrum / level[:, None]).transpose(0, 1)
    w = torch.eye(count, dtype=x.dtype, device=x.device).repeat(len(x), 1, 1)
    for _ in range(iterations):
        before, y = w, w @ x
        size = y.real.square() + y.imag.square()
        slope = 1 / (CONTRAST + size)
        # g(u) + u g'(u) with g(u) = 1 / (CONTRAST + u).
        bend = (CONTRAST * slope.square()).mean(2, keepdim=True)
        w = decorrelated((slope * y) @ x.mH / x.shape[2] - bend * w)
        if ((w * before.conj()).sum(2).abs() > 1 - 1e-6).all():
            break
    return w @ whiten, basis * power.sqrt().unsqueeze(1) @ w.mH


def decorrelated(w: Tensor) -> Tensor:
    """The unitary matrices nearest to these, (w w^H)^(-1/2) w."""
    left, _, right = torch.linalg.svd(w)
    return left @ right


def power_shares(found: Tensor, back: Tensor) -> Tensor:
    """What part of a bin's power over all microphones is each component's: (freq, count, frames) in 0..1."""
    power = found.abs().square() * back.abs().square().sum(1).unsqueeze(2)
    return power / (power.sum(1, keepdim=True) + TINY)


def align(shares: Tensor) -> Tensor:
    """The order (freq, count) that makes components with shares (freq, count, frames) those of the same source in every
    frequency."""
    courses = shares.cpu().numpy()
    courses = courses - courses.mean(2, keepdims=True)
    courses = courses / (np.linalg.norm(courses, axis=2, keepdims=True) + TINY)
    freq, count, _ = courses.shape
    order = np.tile(np.arange(count), (freq, 1))
    if count == 1:
        return torch.from_numpy(order)
    ordered = courses.copy()
    for _ in range(SWEEPS):
        centres = ordered.mean(0)
        new = np.stack([linear_sum_assignment(-centres @ one.T)[1] for one in courses])
        if (new == order).all():
            break
        order = new
        ordered = np.take_along_axis(courses, order[:, :, None], 1)
    for _ in range(SWEEPS):
        changed = False
        for n in range(freq):
            near = [m for m in range(n - NEIGHBOURS, n + NEIGHBOURS + 1) if m != n]
            near += [n // 2, n // 2 + 1, 2 * n - 1, 2 * n, 2 * n + 1]
            around = ordered[[m for m in near if 0 <= m < freq and m != n]].sum(0)
            new = linear_sum_assignment(-around @ courses[n].T)[1]
            if (new != order[n]).any():
                order[n], ordered[n], changed = new, courses[n][new], True
        if not changed:
            break
    return torch.from_numpy(order)
