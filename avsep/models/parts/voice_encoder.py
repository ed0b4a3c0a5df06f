"""Voice embedding at the pictures' rate, the counterpart of the lip embedding."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.lip_encoder import TemporalBlock
from avsep.signals import FRAME_RATE, SAMPLE_RATE

HOP = SAMPLE_RATE // FRAME_RATE // 4
"""Four mel frames a picture: 10 ms."""
WINDOW = 400


class VoiceEncoder(Part):
    """Waveform to one embedding a picture, from log-mel frames, each band freed of its mean over time."""

    def __init__(self, channels: int = 128, width: int = 128, temporal_blocks: int = 3, mels: int = 40) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, channels=channels, width=width)
        check_whole(0, 1000, temporal_blocks=temporal_blocks)
        check_whole(1, 256, mels=mels)
        self.channels = channels
        self.mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, n_fft=512, win_length=WINDOW, hop_length=HOP, f_min=60, f_max=7600, n_mels=mels, center=False
        )
        self.body = nn.Sequential(
            nn.Conv1d(mels, width, 5, padding=2),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 4, stride=2, padding=1),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            *(TemporalBlock(width) for _ in range(temporal_blocks)),
            nn.Conv1d(width, channels, 1),
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> (batch, pictures, channels); picture k stands for samples k * 640 to (k + 1) * 640.
        There is at least one, filled up with silence."""
        if waveform.shape[-1] < 4 * HOP:
            waveform = nn.functional.pad(waveform, (0, 4 * HOP - waveform.shape[-1]))
        pictures = waveform.shape[-1] // (4 * HOP)
        edge = (512 - HOP) // 2
        # Level-free: the floor moves with the loudest part of the item.
        padded = nn.functional.pad(waveform[:, : pictures * 4 * HOP], (edge, 512 - HOP - edge))
        power = self.mel(padded)
        floor = power.amax((1, 2), keepdim=True) * 1e-6 + 1e-10
        mel = torch.log(power + floor)
        mel = (mel - mel.mean(-1, keepdim=True)) / 3
        return self.body(mel).transpose(1, 2)
