"""Separation by microphones of any number and order: FaSNet with TAC (Luo, Chen, Mesgarani and Yoshioka, 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.context_windows import ContextWindows
from avsep.models.parts.filter_estimator import FilterEstimator
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv
from avsep.models.parts.microphones import microphone_weights
from avsep.signals import SAMPLE_RATE


class FaSNetTAC(SeparationModel):
    """A fixed number of estimates as the first microphone, the reference, has them, from any number of microphones.

    The single-stage network of the paper: for every window of every microphone it estimates one filter for each source;
    an estimate is the mean of what its filters give. The order of the microphones does not matter, but for the first
    one. Microphones that are silent throughout do not count, so that a batch may hold items of different numbers of
    microphones, filled up with zeros.

    window and context (on either side of a window) in samples, the windows overlapping by half. chunk: in frames.
    hidden: cells of an LSTM each way. fewest_channels, most_channels: microphones that it takes.
    """

    paper = "Luo et al., End-to-end microphone permutation and number invariant multi-channel speech separation"
    year = 2020
    published = "9.9 dB SI-SNRi, ad-hoc arrays"

    def __init__(
        self,
        sources: int = 2,
        filters: int = 64,
        window: int = 64,
        context: int = 256,
        bottleneck: int = 64,
        hidden: int = 128,
        chunk: int = 50,
        blocks: int = 4,
        tac_hidden: int = 384,
        fewest_channels: int = 2,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters, tac_hidden=tac_hidden)
        self.windows = ContextWindows(window, context)
        self.contract = Contract(
            sample_rate, (fewest_channels, most_channels), sources=sources, stride=self.windows.hop
        )
        self.encoder = PointwiseConv(self.windows.size, filters, bias=False)
        self.norm = GlobalLayerNorm(filters)
        self.estimator = FilterEstimator(
            filters + self.windows.taps, bottleneck, hidden, chunk, blocks, self.windows.taps, sources, tac_hidden
        )

    def compiled_modules(self) -> list[nn.Module]:
        """Without the Fourier transforms: inductor makes no code for complex numbers."""
        return [self.estimator]

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, microphones, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        mixture = full_precision(mixture)
        weights = microphone_weights(mixture)
        contexts = self.windows.cut(mixture)
        spectra = self.windows.spectra(contexts)
        reference = self.windows.middle(contexts[:, :1])
        correlations = self.windows.correlate(reference, spectra, self.windows.energies(mixture))
        encoded = self.norm(self.encoder(contexts.flatten(0, 1))).unflatten(0, contexts.shape[:2])
        filters = self.estimator(torch.cat([encoded, correlations.to(encoded.dtype)], dim=3), weights)
        made = self.windows.filtered(filters, spectra, weights)
        return Output(self.windows.overlap_add(made, mixture.shape[-1]).unsqueeze(2))
