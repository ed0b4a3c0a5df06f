"""Masks from a BLSTM and a beamformer from their covariances: mask-based neural beamforming (Heymann et al., 2016;
Erdogan et al., 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.dsp.beamforming import Beamformer, beamform, beamformer_weights, check_beamformer
from avsep.dsp.spatial import interchannel_phase, spatial_covariance
from avsep.dsp.stft import HOP, WINDOW, full_precision, istft, stft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.models.parts.source_images import beams
from avsep.signals import SAMPLE_RATE

FLOOR = 1e-3
"""Of magnitudes before their logarithm, against the loudest: -60 dB."""


class MaskBeamformer(SeparationModel):
    """One estimate for each source, as it is at the first microphone.

    Each other microphone and the first are a pair: a BLSTM gets the first's log magnitudes and the cosines and sines of
    the pair's phase differences, a second one the mean over the pairs, and a layer makes of that a mask for each source
    and one for the rest. Number and order of the microphones behind the first are free; one that is silent does not
    count. It may be trained on its masks (`OnMasks`), on its estimates, through the beamformer, or on both.

    hidden, pair_hidden: cells each way. layers: of the BLSTM over the mean. window and hop: of the masks, in samples.
    beamformer: "rtf" and "souden", which are MVDR, or "gev". beam_window: of the beamformer. With None it is that of
    the masks, which weight the bins of the covariances, as in the paper. With a longer one, which holds more of a
    room's reverberation, the covariances are those of the masked microphones and of what they leave: with ideal masks
    in rooms with a T60 of 0.3 s 7 dB better than None (tests/benchmarks/ideal_beamformers.py).
    """

    paper = "Heymann, Drude and Haeb-Umbach, Neural network based spectral mask estimation for acoustic beamforming"
    year = 2016

    def __init__(
        self,
        sources: int = 2,
        layers: int = 2,
        hidden: int = 256,
        pair_hidden: int = 256,
        dropout: float = 0.0,
        window: int = WINDOW,
        hop: int = HOP,
        beamformer: Beamformer = "rtf",
        beam_window: int | None = 4096,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(1, MOST_SIZE, hidden=hidden, pair_hidden=pair_hidden)
        check_beamformer(beamformer)
        if beam_window is not None:
            check_spectra(beam_window, beam_window // 4)
        check_whole(1, 100, layers=layers)
        check_whole(2, 128, most_channels=most_channels)
        self.contract = Contract(sample_rate, (2, most_channels), sources=sources)
        self.sources, self.window, self.hop = sources, window, hop
        self.beamformer, self.beam_window = beamformer, beam_window
        freq = window // 2 + 1
        self.pair_lstm = nn.LSTM(3 * freq, pair_hidden, batch_first=True, bidirectional=True)
        self.lstm = nn.LSTM(
            2 * pair_hidden,
            hidden,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=True,
        )
        self.to_masks = nn.Linear(2 * hidden, (sources + 1) * freq)

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.hop)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, sources, 1, time), and the spectrum of the first channel
        with the masks (batch, sources, freq, frames) in 0..1."""
        self.check(mixture)
        spectrum = self.transform(mixture)
        masks = self.masks(spectrum)
        estimates = self.beam(mixture, spectrum, masks)
        return Output(estimates, spectrum=spectrum[:, 0], masks=masks, transform=self.transform)

    def beam(self, mixture: Tensor, spectrum: Tensor, masks: Tensor) -> Tensor:
        """mixture (batch, channels, time), its spectrum and masks -> estimates (batch, sources, 1, time)."""
        time, together = mixture.shape[-1], spectrum.unsqueeze(1)
        if self.beam_window is None:
            target, noise = spatial_covariance(together, masks), spatial_covariance(together, 1 - masks)
            weights = beamformer_weights(self.beamformer, target, noise)
            return istft(beamform(weights, together), time, self.window, self.hop).unsqueeze(2)
        images = istft(masks.unsqueeze(2) * together, time, self.window, self.hop)
        return beams(images, mixture, self.beamformer, self.beam_window, self.beam_window // 4)

    def masks(self, spectrum: Tensor) -> Tensor:
        """(batch, channels, freq, frames) -> (batch, sources, freq, frames) in 0..1, whose sum is 1 at most."""
        batch, pairs = spectrum.shape[0], spectrum.shape[1] - 1
        first = log_magnitudes(spectrum[:, 0]).unsqueeze(1).expand(-1, pairs, -1, -1)
        features = torch.cat([first, *interchannel_phase(spectrum)], 2)
        x = self.pair_lstm(features.flatten(0, 1).mT)[0].unflatten(0, (batch, pairs))
        present = (spectrum[:, 1:].detach().abs().amax((2, 3)) > 0).to(x.dtype)
        weights = present / present.sum(1, keepdim=True).clamp_min(1)
        x = torch.einsum("bp,bptc->btc", weights, x)
        logits = full_precision(self.to_masks(self.lstm(x)[0])).unflatten(2, (self.sources + 1, -1))
        return logits.softmax(2)[:, :, :-1].permute(0, 2, 3, 1)


def log_magnitudes(spectrum: Tensor) -> Tensor:
    """(batch, freq, frames), free of the level of the item."""
    size = spectrum.abs()
    logs = (size + FLOOR * size.amax((1, 2), keepdim=True) + 1e-10).log()
    return (logs - logs.mean((1, 2), keepdim=True)) / (logs.std((1, 2), keepdim=True) + 1e-5)
