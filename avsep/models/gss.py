"""Guided source separation: known speaking times, a mixture model over the microphones, and a beamformer."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from avsep.dsp.beamforming import beamform, beamformer_weights
from avsep.dsp.cacgmm import fit_cacgmm, unit_vectors
from avsep.dsp.spatial import spatial_covariance
from avsep.dsp.stft import istft, stft
from avsep.dsp.wiener import wiener_filter
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.signals import FRAME_RATE, SAMPLE_RATE

Kind = Literal["wiener", "souden", "rtf", "gev"]
KINDS = get_args(Kind)


class GuidedSourceSeparation(SeparationModel):
    """An estimate for each person whose speaking times are known, as he arrives at every microphone.

    It has no weights and nothing to train: in every segment the times guide a complex angular central Gaussian mixture
    model (Boeddeker et al., 2018), whose shapes and masks give a multichannel Wiener filter for each person, or whose
    masks give the covariances of a beamformer. The talkers must keep their places for a segment.

    The cue "activity" is (batch, people, pictures) in 0..1 at FRAME_RATE, how likely each person speaks; where it is 0
    all the time, the estimate is silent. window and hop in samples. beamformer: "wiener", or "souden" and "rtf" (MVDR)
    or "gev" (with blind analytic normalisation), see `avsep.dsp.beamforming`. rounds: of the Wiener filter, see
    `avsep.dsp.wiener`. most_channels: microphones that are allowed.
    """

    paper = "Boeddeker et al., Front-end processing for the CHiME-5 dinner party scenario"
    year = 2018

    def __init__(
        self,
        window: int = 1024,
        hop: int = 256,
        iterations: int = 20,
        beamformer: Kind = "wiener",
        rounds: int = 0,
        most_channels: int = 16,
        segment_seconds: float = 15.0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(1, 1000, iterations=iterations)
        check_whole(2, 128, most_channels=most_channels)
        check_whole(0, 100, rounds=rounds)
        if beamformer not in KINDS:
            raise ValueError(f"beamformer is {beamformer!r}; it must be one of {', '.join(KINDS)}")
        self.window, self.hop, self.iterations = window, hop, iterations
        self.beamformer, self.rounds = beamformer, rounds
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
        if not len(activity):
            return mixture.new_zeros(0, *mixture.shape)
        spectrum = stft(mixture, self.window, self.hop)
        activity = self._in_frames(activity.to(spectrum.real.dtype), spectrum.shape[-1])
        found = fit_cacgmm(spectrum, activity, self.iterations)
        people = range(len(activity))
        if self.beamformer == "wiener":
            unit, _ = unit_vectors(spectrum)
            powers = found.posteriors * found.power
            images = wiener_filter(unit, powers, found.shapes, len(activity), self.rounds)
            images = images * torch.linalg.vector_norm(spectrum, dim=0)
        else:
            images = torch.stack([self._beamformed(spectrum, found.posteriors[:, k], activity[k]) for k in people])
        time = mixture.shape[-1]
        return torch.stack([istft(images[k], time, self.window, self.hop) for k in people])

    def _beamformed(self, spectrum: Tensor, mask: Tensor, active: Tensor) -> Tensor:
        """A person at every microphone: (channels, freq, frames), (freq, frames), (frames,) -> as the spectrum."""
        target = spatial_covariance(spectrum, mask)
        # Of the others where he speaks: who is silent then need not be suppressed.
        noise = spatial_covariance(spectrum, (1 - mask) * active)
        assert self.beamformer != "wiener"
        weights = [beamformer_weights(self.beamformer, target, noise, m) for m in range(len(spectrum))]
        return torch.stack([beamform(of, spectrum) for of in weights]) * active

    def _in_frames(self, activity: Tensor, frames: int) -> Tensor:
        """(people, pictures) -> (people, frames), each frame the picture at its centre."""
        samples = self.contract.sample_rate / FRAME_RATE
        pictures = (torch.arange(frames, device=activity.device) * self.hop / samples).long()
        return activity[:, pictures.clamp(max=activity.shape[1] - 1)]
