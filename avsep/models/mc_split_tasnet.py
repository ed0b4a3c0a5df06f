"""Separation by several microphones: `SplitTasNet` with inter-channel phase differences (Gu et al., 2019)."""

from __future__ import annotations

from dataclasses import replace

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.parts.inter_channel import ArrayStftEncoder, PhaseDifferences
from avsep.models.parts.stft import StftDecoder
from avsep.models.split_tasnet import SplitTasNet
from avsep.signals import SAMPLE_RATE


class MultiChannelSplitTasNet(SplitTasNet):
    """A fixed number of estimates as the first microphone, the reference, has them: a multi-channel Conv-TasNet whose
    streams part early and whose frames are those of an STFT.

    pair_hidden, fewest_channels, most_channels: see `PairFeatures` of avsep.models.parts.inter_channel; the phase
    differences are those of the STFT. The other arguments are those of `SplitTasNet`, whose weights it can start with
    (`warm_start`).
    """

    paper = "Gu et al., End-to-end multi-channel speech separation"
    year = 2019

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
        pair_hidden: int = 128,
        fewest_channels: int = 2,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            sources,
            window,
            stride,
            channels,
            hidden,
            block_kernel,
            blocks,
            rounds,
            exchange_every,
            norm,
            causal,
            sample_rate=sample_rate,
        )
        self.encoder = ArrayStftEncoder(
            window,
            stride,
            PhaseDifferences(window, stride),
            pair_hidden,
            fewest_channels=fewest_channels,
            most_channels=most_channels,
        )
        self.decoder = StftDecoder(window, stride)
        self.contract = replace(self.contract, channels=self.encoder.channels)
