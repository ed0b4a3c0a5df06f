"""Separation by several microphones, without anything learnt before: AuxIVA (Ono, 2011)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avsep.dsp.stft import istft, stft
from avsep.errors import UsageError
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.signals import SAMPLE_RATE

FLOOR = 1e-4
"""Noise that is added while the filters are learnt, -80 dB of the loudest microphone: what keeps the matrices regular
where a bin or a microphone is silent, two microphones give the same, or there are fewer frames than microphones."""

DISTRIBUTIONS = ("gauss", "laplace")
"""Of a source's frames, in the order in which they are tried: the first separates better (24 against 7 dB in a dry
room), but now and then finds no solution in a short recording without any noise."""


class AuxIVA(SeparationModel):
    """As many estimates as microphones, or `sources` of them, each as it arrives at every microphone.

    It has no weights and nothing to train: in every mixture it looks for the filters that make its sources independent
    of each other (Ono, 2011; with fewer sources than microphones OverIVA, Scheibler and Ono, 2019; both of
    pyroomacoustics). With as many sources as microphones the estimates add up to the mixture, else a rest is left. The
    talkers must keep their places.

    window and hop in samples: a window should be about as long as the room reverberates. most_channels: microphones
    that are allowed; memory grows with their square (a minute: 1.6 GB with 4, 3.6 GB with 8, 11 GB with 16).
    """

    paper = "Ono, Stable and fast update rules for independent vector analysis"
    year = 2011

    def __init__(
        self,
        sources: int | None = None,
        window: int = 4096,
        hop: int = 1024,
        iterations: int = 30,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(1, 1000, iterations=iterations)
        if sources is not None and not 1 <= sources <= most_channels:
            raise ValueError(f"sources is {sources}; it must be 1 to most_channels = {most_channels}, or None")
        self.window, self.hop, self.iterations = window, hop, iterations
        channels = (max(2, sources or 2), most_channels)
        self.contract = Contract(sample_rate, channels, sources=sources, segment_seconds=60.0)

    @torch.no_grad()
    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, sources, channels, time), without gradients."""
        self.check(mixture)
        spectra = stft(mixture.cpu().double(), self.window, self.hop).numpy()
        return Output(torch.stack([self._estimates(spectrum, mixture.shape[-1]) for spectrum in spectra]).to(mixture))

    def _estimates(self, spectrum: np.ndarray, time: int) -> Tensor:
        """(channels, freq, frames) -> (sources, channels, time) float32, each source at all microphones."""
        filters, covariance = self._filters(spectrum)
        if filters.shape[1] == filters.shape[2]:
            back = np.linalg.inv(filters)
        else:
            # The least squares estimate of what the microphones have of the sources.
            shared = covariance @ filters.conj().swapaxes(1, 2)
            back = shared @ np.linalg.inv(filters @ shared)
        sources = filters @ spectrum.transpose(1, 0, 2)
        # One source at a time: all of their spectra at all microphones would take gigabytes.
        made = []
        for number in range(sources.shape[1]):
            image = back[:, :, number].T[:, :, None] * sources[:, number]
            made.append(istft(torch.from_numpy(image), time, self.window, self.hop).float())
        return torch.stack(made)

    def _filters(self, spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(channels, freq, frames) -> filters (freq, sources, channels), and the covariance (freq, channels, channels)
        of what they were learnt from."""
        auxiva = _auxiva()
        channels = len(spectrum)
        level = np.sqrt((np.abs(spectrum) ** 2).mean(axis=(1, 2)).max()) or 1.0
        learnt = np.pad(spectrum / level, ((0, 0), (0, 0), (0, 2 * channels)))
        noise = np.random.default_rng(0).standard_normal((*learnt.shape, 2)).view(complex)[..., 0]
        learnt += FLOOR / np.sqrt(2) * noise
        covariance = np.einsum("cft,dft->fcd", learnt, learnt.conj(), optimize=True)
        settings = {"n_src": self.contract.sources, "n_iter": self.iterations, "proj_back": False}
        for distribution in DISTRIBUTIONS:
            with suppress(np.linalg.LinAlgError):
                found = auxiva(learnt.transpose(2, 1, 0), model=distribution, return_filters=True, **settings)[1]
                if np.isfinite(found).all():
                    return found, covariance
        # Nothing can be learnt of it: each source is a microphone.
        return np.tile(np.eye(self.contract.sources or channels, channels), (len(covariance), 1, 1)), covariance


def _auxiva() -> Callable[..., Any]:
    try:
        from pyroomacoustics.bss import auxiva
    except ImportError as error:
        raise UsageError(
            "AuxIVA needs pyroomacoustics, which the extra 'array' brings: pip install 'avsep[array]'"
        ) from error
    return auxiva
