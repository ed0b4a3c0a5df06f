"""Separation by sound alone, by streams of convolutional blocks that part early (avsep.models.separators.split_tcn)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.base import Output, Part
from avsep.models.masking import MaskingModel
from avsep.models.parts.causal_stft import CausalStftDecoder, CausalStftEncoder
from avsep.models.parts.stft import CompressedStftEncoder, StftDecoder
from avsep.models.separators.split_tcn import SplitTCN
from avsep.signals import SAMPLE_RATE


class SplitTasNet(MaskingModel):
    """A fixed number of estimates from one channel, in no particular order.

    window and stride of the STFT in samples. channels, hidden, block_kernel, blocks, repeats: B, H, P, X, R of
    Conv-TasNet, for each of the two stacks. rounds: how often the second is run through; the estimates of each round
    but the last are stages of the output, so that `OnStages` makes any number of rounds useful. front: what goes in
    beside the features, see `SplitTCN`. causal: for streams; with norm="cLN" nothing depends on what comes later than
    two strides.
    """

    def __init__(
        self,
        sources: int = 2,
        window: int = WINDOW,
        stride: int = HOP,
        channels: int = 192,
        hidden: int = 384,
        block_kernel: int = 3,
        blocks: int = 7,
        rounds: int = 1,
        exchange_every: int = 4,
        norm: str = "gLN",
        causal: bool = False,
        front: Part | None = None,
        repeats: int = 1,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        freq = window // 2 + 1
        super().__init__(
            CausalStftEncoder(window, stride) if causal else CompressedStftEncoder(window, stride),
            SplitTCN(
                freq,
                channels,
                hidden,
                block_kernel,
                blocks,
                sources,
                rounds,
                exchange_every,
                norm,
                causal,
                front,
                repeats,
            ),
            CausalStftDecoder(window, stride) if causal else StftDecoder(window, stride),
            sample_rate=sample_rate,
        )
        # Refined, the bundled weights for two voices lose 0.1 dB.
        self.contract = replace(self.contract, refine=False)

    def compiled_modules(self) -> list[nn.Module]:
        """The stacks: all but a few matrices, and none of the complex numbers that inductor makes no code for."""
        return [self.separator.mixed, self.separator.parted]

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        features, frames = self.encoder(mixture)
        return self.staged(frames, self.separator.every_round(features), mixture.shape[-1])

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """Without the stages, which nobody needs in use."""
        return super().forward(mixture)
