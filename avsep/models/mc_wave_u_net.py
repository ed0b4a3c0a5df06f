"""Separation of raw samples of several microphones at many resolutions: Wave-U-Net (Stoller, Ewert and Dixon, 2018)."""

from __future__ import annotations

from torch import Tensor

from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.parts.wave_u_net import WaveUNetLayers
from avsep.signals import SAMPLE_RATE


class MultiChannelWaveUNet(SeparationModel):
    """A fixed number of estimates as the first microphone has them, from a fixed number of microphones.

    Unlike the paper's it is told the samples at a level of 1, and its output is not squashed. filters, layers, kernel,
    up_kernel: see `WaveUNetLayers`. `avsep.models.wave_u_net.WaveUNet` is that of one channel, or of stems.
    """

    paper = "Stoller et al., Wave-U-Net: A multi-scale neural network for end-to-end audio source separation"
    year = 2018

    def __init__(
        self,
        sources: int = 2,
        microphones: int = 4,
        filters: int = 24,
        layers: int = 12,
        kernel: int = 15,
        up_kernel: int = 5,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        self.layers = WaveUNetLayers(microphones, sources, filters, layers, kernel, up_kernel)
        self.contract = Contract(sample_rate, (microphones, microphones), sources=sources, stride=self.layers.stride)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, microphones, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        return Output(self.layers(mixture).unsqueeze(2))
