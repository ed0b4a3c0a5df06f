"""Separation by sound alone: Conv-TasNet (Luo and Mesgarani, 2019)."""

from __future__ import annotations

from torch import Tensor

from avsep.models.base import SeparationModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE


class AudioOnly(SeparationModel):
    """A fixed number of estimates from one channel, in no particular order.

    kernel and stride of the encoder in samples; the other sizes are the paper's N, B, H, Sc, P, X, R.
    """

    def __init__(
        self,
        sources: int = 2,
        filters: int = 256,
        kernel: int = 40,
        stride: int = 20,
        bottleneck: int = 256,
        hidden: int = 512,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        norm: str = "gLN",
        causal: bool = False,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        self.sources, self.sample_rate = sources, sample_rate
        self.encoder = Encoder(filters, kernel, stride)
        self.separator = TemporalConvNet(
            filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, sources, norm, causal
        )
        self.decoder = Decoder(filters, kernel, stride)

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, time) -> estimates (batch, sources, time)."""
        frames = self.encoder(mixture)
        masks = self.separator(frames)
        return self.decoder(masks * frames.unsqueeze(1), mixture.shape[-1])
