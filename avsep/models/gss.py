"""Guided source separation: known speaking times, a mixture model over the microphones, and a beamformer."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.dsp.beamforming import beamform, mvdr_souden
from avsep.dsp.cacgmm import fit_cacgmm
from avsep.dsp.spatial import spatial_covariance
from avsep.dsp.stft import istft, stft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.signals import FRAME_RATE, SAMPLE_RATE

LOADING = 1e-4
"""Of the noise's mean power, on the diagonal of its covariance."""


class GuidedSourceSeparation(SeparationModel):
    """An estimate for each person whose speaking times are known, as he arrives at every microphone.

    It has no weights and nothing to train: in every segment the times guide a complex angular central Gaussian mixture
    model, whose masks give the covariances of an MVDR beamformer for each person (Boeddeker et al., 2018). The talkers
    must keep their places for a segment.

    The cue "activity" is (batch, people, pictures) in 0..1 at FRAME_RATE, how likely each person speaks; where it is 0
    all the time, the estimate is silent. window and hop in samples. most_channels: microphones that are allowed.
    """

    paper = "Boeddeker et al., Front-end processing for the CHiME-5 dinner party scenario"
    year = 2018

    def __init__(
        self,
        window: int = 1024,
        hop: int = 256,
        iterations: int = 20,
        most_channels: int = 16,
        segment_seconds: float = 15.0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(1, 1000, iterations=iterations)
        check_whole(2, 128, most_channels=most_channels)
        self.window, self.hop, self.iterations = window, hop, iterations
        self.contract = Contract(
            sample_rate,
            (2, most_channels),
            cues=("activity",),
            sources=None,
            order="cue",
            joint=True,
            segment_seconds=segment_seconds,
        )

    @torch.no_grad()
    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, people, channels, time), without gradients."""
        self.check(mixture)
        activity = cues["activity"]
        if activity.dim() != 3 or len(activity) != len(mixture):
            raise ValueError(f"activity {tuple(activity.shape)}; expected ({len(mixture)}, people, pictures)")
        estimates = [self._estimates(*one) for one in zip(mixture, activity, strict=True)]
        return Output(torch.stack(estimates).to(mixture))

    def _estimates(self, mixture: Tensor, activity: Tensor) -> Tensor:
        """(channels, time), (people, pictures) -> (people, channels, time)."""
        spectrum = stft(mixture, self.window, self.hop)
        activity = self._in_frames(activity.to(spectrum.real.dtype), spectrum.shape[-1])
        posteriors = fit_cacgmm(spectrum, activity, self.iterations).posteriors
        made = []
        # One person at a time: all of them at all microphones would take several times the memory of the mixture.
        for person, active in enumerate(activity):
            mask = posteriors[:, person]
            target = spatial_covariance(spectrum, mask)
            # Of the others where he speaks: who is silent then need not be suppressed.
            noise = spatial_covariance(spectrum, (1 - mask) * active)
            images = [beamform(mvdr_souden(target, noise, m, LOADING), spectrum) for m in range(len(mixture))]
            made.append(istft(torch.stack(images) * active, mixture.shape[-1], self.window, self.hop))
        return torch.stack(made) if made else mixture.new_zeros(0, *mixture.shape)

    def _in_frames(self, activity: Tensor, frames: int) -> Tensor:
        """(people, pictures) -> (people, frames), each frame the picture at its centre."""
        samples = self.contract.sample_rate / FRAME_RATE
        pictures = (torch.arange(frames, device=activity.device) * self.hop / samples).long()
        return activity[:, pictures.clamp(max=activity.shape[1] - 1)]
