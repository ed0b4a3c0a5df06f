"""Separation of raw samples at many resolutions: Wave-U-Net (Stoller, Ewert and Dixon, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from avsep.models.base import Output, SeparationModel
from avsep.models.parts.stems import contract_of, outputs_of, with_difference
from avsep.models.parts.wave_u_net import WaveUNetLayers
from avsep.signals import SAMPLE_RATE


class WaveUNet(SeparationModel):
    """A fixed number of estimates with all channels of the mixture: voices in any order, or the stems of music.

    stems: names of the sources, in their order, in place of `sources` in any order. difference: the last estimate is
    what the others leave of the mixture, so that they sum to it; else it is an output of its own. filters, layers,
    kernel, up_kernel: see `WaveUNetLayers`.

    Unlike the paper's it is told the samples at a level of 1, and its output is not squashed. Convolutions are padded
    with zeros, as in the paper's M1 and M2; the context on both sides that M3 to M6 are given comes, in use, from
    segments that overlap. `avsep.models.mc_wave_u_net` is that of several microphones.
    """

    paper = "Stoller et al., Wave-U-Net: A multi-scale neural network for end-to-end audio source separation"
    year = 2018
    published = "3.2 dB SDR, MUSDB18"
    paper_args: ClassVar = {"stems": ["bass", "drums", "other", "vocals"], "channels": 2, "sample_rate": 22_050}

    def __init__(
        self,
        sources: int = 2,
        stems: Sequence[str] | None = None,
        channels: int = 1,
        filters: int = 24,
        layers: int = 12,
        kernel: int = 15,
        up_kernel: int = 5,
        difference: bool = True,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        contract = contract_of(sample_rate, channels, sources, stems)
        self.channels, self.difference = channels, difference
        self.layers = WaveUNetLayers(channels, outputs_of(contract, difference), filters, layers, kernel, up_kernel)
        self.contract = replace(contract, stride=self.layers.stride)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, sources, channels, time)."""
        self.check(mixture)
        estimates = self.layers(mixture).unflatten(1, (-1, self.channels))
        return Output(with_difference(estimates, mixture) if self.difference else estimates)
