"""Joining the features of the sound with those of a cue."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import PointwiseConv


class ConcatFusion(Part):
    """Video features at the audio's frame rate, concatenated on channels, projected back by a 1x1 convolution
    (Wu et al., Time domain audio visual speech separation, 2019).

    Before any training the audio passes as it is, with a little of the video in it, so that a separator that was
    trained by sound goes on doing what it learnt.
    """

    def __init__(self, audio_channels: int, video_channels: int) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, audio_channels=audio_channels, video_channels=video_channels)
        self.project = PointwiseConv(audio_channels + video_channels, audio_channels)
        with torch.no_grad():
            self.project.weight[:, :audio_channels] = torch.eye(audio_channels)
            self.project.bias.zero_()

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """audio (batch, frames, audio_channels), video (batch, pictures, video_channels) of the same stretch of time ->
        (batch, frames, audio_channels)."""
        video = F.interpolate(video.transpose(1, 2), size=audio.shape[1], mode="linear", align_corners=False)
        return self.project(torch.cat([audio, video.transpose(1, 2)], dim=2))
