"""Do these lips speak with this voice? Two embeddings at the pictures' rate and their correlation over a window.

After Chung and Zisserman, Out of time: automated lip sync in the wild, 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.models.base import Model
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.parts.voice_encoder import VoiceEncoder
from avsep.signals import SAMPLE_RATE


class Synchrony(Model):
    """Lip and voice embeddings of one size. lip, voice: arguments of `LipEncoder` and `VoiceEncoder`.

    slope and bias turn a window's correlation (about two seconds) into the log odds that lips and voice belong
    together.
    """

    paper = "after Chung and Zisserman, Out of time"
    year = 2016
    sample_rate = SAMPLE_RATE

    def __init__(self, lip: dict, voice: dict) -> None:
        super().__init__()
        self.lips = LipEncoder(**lip)
        self.voice = VoiceEncoder(**voice)
        if self.lips.channels != voice.get("channels", 128):
            raise ValueError(f"lip and voice embeddings differ in size: {lip} and {voice}")
        self.slope = nn.Parameter(torch.tensor(12.0))
        self.bias = nn.Parameter(torch.tensor(0.0))

    def forward(self, lips: Tensor, waveform: Tensor) -> Tensor:
        """lips (batch, pictures, height, width) in 0..1, waveform (batch, pictures * 640) -> correlations (batch,)."""
        return correlation(self.lips(lips), self.voice(waveform))


def correlation(lips: Tensor, voice: Tensor) -> Tensor:
    """Correlation over time and channels of two embeddings freed of their means over time: (..., pictures, channels)
    -> (...)."""
    lips = lips - lips.mean(-2, keepdim=True)
    voice = voice - voice.mean(-2, keepdim=True)
    norm = lips.square().sum((-2, -1)) * voice.square().sum((-2, -1))
    return (lips * voice).sum((-2, -1)) / (norm + 1e-8).sqrt()
