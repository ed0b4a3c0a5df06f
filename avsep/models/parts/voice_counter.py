"""How many voices there are in a sound: none, one, and so on."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.models.parts.layers import PointwiseConv, PReLU
from avsep.models.separators.conv_tasnet import ConvBlock
from avsep.signals import SAMPLE_RATE

LEAST_POWER = 1e-6
"""What a mel band holds at least, of a sound whose level is 1: fainter is silence."""


class CountHead(nn.Module):
    """Features over time to logits of counts: the first for none, the last for `most` or more. Means tell of the whole
    sound, and maxima of voices that are there for a moment."""

    def __init__(self, channels: int, most: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(PointwiseConv(channels, channels), PReLU())
        self.leave = nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, most + 1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, most + 1)."""
        x = self.enter(x)
        return self.leave(torch.cat([x.mean(1), x.amax(1)], 1))


class VoiceCounter(Part):
    """Waveforms to logits of how many voices are in them, from log-mel frames and convolutional blocks over time.

    most_voices: the last count, which stands for more, too. window and hop in samples. channels, hidden, blocks: B, H
    and X of Conv-TasNet.
    """

    def __init__(
        self,
        most_voices: int = 2,
        window: int = 512,
        hop: int = 256,
        mels: int = 64,
        channels: int = 64,
        hidden: int = 128,
        blocks: int = 6,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_whole(1, 64, most_voices=most_voices)
        check_whole(2, 4096, window=window)
        check_spectra(window, hop)
        check_whole(1, 256, mels=mels)
        check_whole(1, MOST_SIZE, channels=channels, hidden=hidden)
        check_whole(1, 16, blocks=blocks)
        self.most_voices = most_voices
        self.mel = torchaudio.transforms.MelSpectrogram(
            sample_rate, window, hop_length=hop, f_min=60, n_mels=mels, pad_mode="constant", normalized="window"
        )
        self.enter = PointwiseConv(mels, channels)
        self.blocks = nn.Sequential(*(_Residual(channels, hidden, 2**n) for n in range(blocks)))
        self.head = CountHead(channels, most_voices)

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time), whose level tells how much is left of something of level 1 -> (batch, most_voices + 1)."""
        bands = self.mel(full_precision(waveform)).clamp_min(LEAST_POWER).log().mT
        return self.head(self.blocks(self.enter(bands / 5)))


class _Residual(ConvBlock):
    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__(channels, hidden, 0, 3, dilation, "gLN", False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]
