"""Joining what the eyes see with what the ears hear."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConcatFusion(nn.Module):
    """Video features at the audio's frame rate, concatenated on channels, projected back by a 1x1 convolution
    (Wu et al., Time domain audio visual speech separation, 2019)."""

    def __init__(self, audio_channels: int, video_channels: int) -> None:
        super().__init__()
        self.project = nn.Conv1d(audio_channels + video_channels, audio_channels, 1)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """audio (batch, audio_channels, frames), video (batch, video_channels, pictures) of the same stretch of time ->
        (batch, audio_channels, frames)."""
        video = F.interpolate(video, size=audio.shape[-1], mode="linear", align_corners=False)
        return self.project(torch.cat([audio, video], dim=1))
