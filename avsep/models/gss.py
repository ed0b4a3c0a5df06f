"""Guided source separation: known speaking times, a mixture model over the microphones, and a beamformer."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.dsp.cacgmm import fit_cacgmm, unit_vectors
from avsep.dsp.stft import istft, stft
from avsep.dsp.wiener import wiener_filter
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.models.parts.source_images import Beam, beams, check_beam
from avsep.signals import FRAME_RATE, SAMPLE_RATE


class GuidedSourceSeparation(SeparationModel):
    """An estimate for each person whose speaking times are known, as he arrives at every microphone.

    It has no weights and nothing to train: in every segment the times guide a complex angular central Gaussian mixture
    model (Boeddeker et al., 2018), whose masks give the covariances of a beamformer, or whose shapes and masks give a
    multichannel Wiener filter for each person. The talkers must keep their places for a segment.

    The cue "activity" is (batch, people, pictures) in 0..1 at FRAME_RATE, how likely each person speaks; where it is 0
    all the time, the estimate is silent. window and hop: of the mixture model, in samples. beamformer: "souden" and
    "rtf" (MVDR) or "gev" (with blind analytic normalisation), see `avsep.dsp.beamforming`, with beam_window and
    beam_hop; or "wiener", the filter of the mixture model, with rounds, see `avsep.dsp.wiener`. most_channels:
    microphones that are allowed.
    """

    paper = "Boeddeker et al., Front-end processing for the CHiME-5 dinner party scenario"
    year = 2018

    def __init__(
        self,
        window: int = 2048,
        hop: int = 512,
        iterations: int = 20,
        beamformer: Beam = "souden",
        beam_window: int = 4096,
        beam_hop: int = 1024,
        rounds: int = 0,
        most_channels: int = 16,
        segment_seconds: float = 15.0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_spectra(beam_window, beam_hop)
        check_beam(beamformer)
        check_whole(1, 1000, iterations=iterations)
        check_whole(2, 128, most_channels=most_channels)
        check_whole(0, 100, rounds=rounds)
        self.window, self.hop, self.iterations = window, hop, iterations
        self.beam_window, self.beam_hop = beam_window, beam_hop
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
        time = mixture.shape[-1]
        if self.beamformer == "wiener":
            unit, _ = unit_vectors(spectrum)
            powers = found.posteriors * found.power
            spectra = wiener_filter(unit, powers, found.shapes, len(activity), self.rounds)
            spectra = spectra * torch.linalg.vector_norm(spectrum, dim=0)
            return self._in_time(spectra, time)
        images = self._in_time(found.posteriors[:, :-1].transpose(0, 1).unsqueeze(1) * spectrum, time)
        made = beams(
            images[None], mixture[None], self.beamformer, self.beam_window, self.beam_hop, range(len(mixture))
        )[0]
        # A beam lets the others through where the person is silent.
        return self._in_time(stft(made, self.window, self.hop) * activity[:, None, None], time)

    def _in_time(self, spectra: Tensor, time: int) -> Tensor:
        return torch.stack([istft(one, time, self.window, self.hop) for one in spectra])

    def _in_frames(self, activity: Tensor, frames: int) -> Tensor:
        """(people, pictures) -> (people, frames), each frame the picture at its centre."""
        samples = self.contract.sample_rate / FRAME_RATE
        pictures = (torch.arange(frames, device=activity.device) * self.hop / samples).long()
        return activity[:, pictures.clamp(max=activity.shape[1] - 1)]
