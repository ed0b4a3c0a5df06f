"""Joining the features of the sound with those of a cue."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import PointwiseConv


class ConcatFusion(Part):
    """Video features at the audio's frame rate, concatenated on channels, projected back by a 1x1 convolution
    (Wu et al., Time domain audio visual speech separation, 2019).

    Before any training the audio passes as it is, with a little of the video in it, so that a separator that was
    trained by sound goes on doing what it learnt.

    nearest: each frame gets the video features of one picture, in place of a line between those of two.
    """

    def __init__(self, audio_channels: int, video_channels: int, nearest: bool = False) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, audio_channels=audio_channels, video_channels=video_channels)
        if not isinstance(nearest, bool):
            raise ValueError(f"nearest is {nearest!r}; it must be true or false")
        self.nearest = nearest
        self.project = PointwiseConv(audio_channels + video_channels, audio_channels)
        with torch.no_grad():
            self.project.weight[:, :audio_channels] = torch.eye(audio_channels)
            self.project.bias.zero_()

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """audio (batch, frames, audio_channels), video (batch, pictures, video_channels) of the same stretch of time ->
        (batch, frames, audio_channels)."""
        return self.project(torch.cat([audio, at_frames(video, audio.shape[1], self.nearest)], dim=2))


class FactorizedAttention(Part):
    """The sound's features are projected into `subspaces`, and those of the video tell how much of each goes on
    (Gu et al., Multi-modal multi-channel target speech separation, 2020)."""

    def __init__(self, audio_channels: int, video_channels: int, subspaces: int = 10) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, audio_channels=audio_channels, video_channels=video_channels)
        check_whole(1, 1000, subspaces=subspaces)
        self.factors = PointwiseConv(audio_channels, subspaces * audio_channels)
        self.attend = nn.Linear(video_channels, subspaces)

    def forward(self, audio: Tensor, video: Tensor) -> Tensor:
        """audio (batch, frames, audio_channels), video (batch, pictures, video_channels) of the same stretch of time ->
        (batch, frames, audio_channels)."""
        shares = at_frames(self.attend(video), audio.shape[1]).softmax(2)
        factors = self.factors(audio).unflatten(2, (shares.shape[2], -1))
        return (factors * shares.unsqueeze(3)).sum(2)


def at_frames(video: Tensor, frames: int, nearest: bool = False) -> Tensor:
    """(batch, pictures, channels) -> (batch, frames, channels), linear in between, or of the picture that a frame
    begins in."""
    if nearest:
        return F.interpolate(video.transpose(1, 2), size=frames, mode="nearest").transpose(1, 2)
    return F.interpolate(video.transpose(1, 2), size=frames, mode="linear", align_corners=False).transpose(1, 2)
