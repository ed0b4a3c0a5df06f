"""Separation by adaptive beamforming in the time domain: two-stage FaSNet (Luo, Ceolini, Han, Liu and Mesgarani,
2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.context_windows import ContextWindows
from avsep.models.parts.filter_estimator import FilterEstimator
from avsep.models.parts.layers import GlobalLayerNorm, PointwiseConv
from avsep.models.parts.microphones import mean_over_microphones, microphone_weights, others_weights
from avsep.signals import SAMPLE_RATE


class FaSNet(SeparationModel):
    """A fixed number of estimates as the first microphone, the reference, has them, from any number of microphones.

    The first stage filters the reference, told by the mean of its correlations with the other microphones; the second
    one filters every other microphone for each of these estimates, told by the correlation of the two. An estimate is
    the mean of what the filters give; the size and the dual-path networks are those of Luo et al. (2020). The order of
    the microphones and such as are silent: see `FaSNetTAC`.

    window and context (on either side of a window) in samples, the windows overlapping by half. chunk: in frames.
    hidden: cells of an LSTM each way. blocks: of each stage. fewest_channels, most_channels: microphones that it takes.
    """

    paper = "Luo et al., FaSNet: Low-latency adaptive beamforming for multi-microphone audio processing"
    year = 2019

    def __init__(
        self,
        sources: int = 2,
        filters: int = 64,
        window: int = 64,
        context: int = 256,
        bottleneck: int = 64,
        hidden: int = 128,
        chunk: int = 50,
        blocks: int = 6,
        fewest_channels: int = 2,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters)
        check_whole(2, 128, fewest_channels=fewest_channels)
        self.windows = ContextWindows(window, context)
        self.contract = Contract(
            sample_rate, (fewest_channels, most_channels), sources=sources, stride=self.windows.hop
        )
        taps = self.windows.taps
        self.encoder = PointwiseConv(self.windows.size, filters, bias=False)
        self.norm = GlobalLayerNorm(filters)
        self.first = FilterEstimator(filters + taps, bottleneck, hidden, chunk, blocks, taps, sources)
        self.second = FilterEstimator(filters + taps, bottleneck, hidden, chunk, blocks, taps, 1)

    def compiled_modules(self) -> list[nn.Module]:
        """Without the Fourier transforms: inductor makes no code for complex numbers."""
        return [self.first, self.second]

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, microphones, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        mixture = full_precision(mixture)
        weights = microphone_weights(mixture)
        contexts, energies = self.windows.cut(mixture), self.windows.energies(mixture)
        spectra = self.windows.spectra(contexts)
        encoded = self.norm(self.encoder(contexts.flatten(0, 1))).unflatten(0, contexts.shape[:2])

        reference = self.windows.middle(contexts[:, :1])
        alike = self.windows.correlate(reference, spectra[:, 1:], energies[:, 1:])
        alike = mean_over_microphones(alike, others_weights(mixture)).unsqueeze(1).to(encoded.dtype)
        filters = self.first(torch.cat([encoded[:, :1], alike], dim=3), weights[:, :1])
        first = self.windows.filtered(filters, spectra[:, :1], torch.ones_like(weights[:, :1]))

        # From here on the sources are items of their own: (batch * sources, microphones - 1, frames, ...).
        sources, others = first.shape[1], weights[:, 1:]
        alike = self.windows.correlate(first.unsqueeze(2), spectra[:, None, 1:], energies[:, None, 1:])
        encoded = encoded[:, None, 1:].expand(*alike.shape[:4], -1)
        features = torch.cat([encoded, alike.to(encoded.dtype)], dim=4).flatten(0, 1)
        each = others.repeat_interleave(sources, 0)
        filters = self.second(features, each).squeeze(2).unflatten(0, (-1, sources)).transpose(1, 2)
        second = self.windows.filtered(filters, spectra[:, 1:], others)
        made = weights[:, :1, None, None] * first + second
        return Output(self.windows.overlap_add(made, mixture.shape[-1]).unsqueeze(2))
