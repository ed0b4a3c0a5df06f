"""Separation by embeddings that cluster: deep clustering (Hershey et al., 2016; Isik et al., 2016)."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import HOP, WINDOW, istft, stft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra
from avsep.models.parts.embeddings import AnyNumberOfSources, RecurrentTrunk, cluster, log_features
from avsep.signals import SAMPLE_RATE

Masks = Literal["binary", "soft"]


class DeepClustering(AnyNumberOfSources, SeparationModel):
    """Estimates from one channel: an embedding for each time-frequency bin, and k-means that tells which bins go
    together.

    The network does not know how many sources there are: `sources` may be set to another number than it was trained
    with, also on a model that is loaded.

    layers, hidden, dropout: of the bidirectional LSTM, cells each way. dims: of an embedding, of unit length. window
    and hop in samples. masks: "binary", or "soft" with `sharpness` times the squared distance to the centres in the
    exponent. threshold_db: bins so far below the mixture's loudest do not count for the centres.
    """

    paper = "Hershey et al., Deep clustering; Isik et al., Single-channel multi-speaker separation"
    year = 2016
    published = "10.8 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"window": 256, "hop": 64, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        layers: int = 4,
        hidden: int = 300,
        dims: int = 40,
        dropout: float = 0.5,
        window: int = WINDOW,
        hop: int = HOP,
        masks: Masks = "binary",
        sharpness: float = 5.0,
        threshold_db: float = 40.0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        if masks not in get_args(Masks):
            raise ValueError(f"masks is {masks!r}; it must be one of {', '.join(get_args(Masks))}")
        if not 0 <= threshold_db <= 200:
            raise ValueError(f"threshold_db is {threshold_db}; it must be 0 to 200")
        check_spectra(window, hop)
        self.window, self.hop = window, hop
        self.masks, self.sharpness, self.threshold_db = masks, sharpness, threshold_db
        self.trunk = RecurrentTrunk(window // 2 + 1, layers, hidden, dims, dropout, length=1.0)
        self.contract = Contract(sample_rate, stride=hop)
        self.sources = sources

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.hop)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> embeddings (batch, freq, frames, dims); no estimates."""
        self.check(mixture)
        spectrum = self.transform(mixture[:, 0])
        embeddings = self.trunk(log_features(spectrum).mT).transpose(1, 2)
        return Output(embeddings=embeddings, spectrum=spectrum, transform=self.transform)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """The same with masks, and estimates (batch, sources, 1, time) in no particular order."""
        output = self(mixture, **cues)
        spectrum, embeddings = output.spectrum, output.embeddings
        assert spectrum is not None
        assert embeddings is not None
        size = spectrum.abs()
        audible = size > 10 ** (-self.threshold_db / 20) * size.amax((1, 2), keepdim=True)
        output.masks = torch.stack([self._masks(e.float(), a) for e, a in zip(embeddings, audible, strict=True)])
        bins = output.masks * spectrum.unsqueeze(1)
        output.estimates = istft(bins, mixture.shape[-1], self.window, self.hop).unsqueeze(2)
        return output

    def _masks(self, embeddings: Tensor, audible: Tensor) -> Tensor:
        """(freq, frames, dims), (freq, frames) bool -> (sources, freq, frames), which sum to 1."""
        centres = cluster(embeddings[audible].detach().cpu().numpy(), self.sources)
        if centres is None:
            return embeddings.new_full((self.sources, *audible.shape), 1 / self.sources)
        # One centre at a time: all differences at once would take many times the memory of the embeddings.
        places = torch.from_numpy(centres).to(embeddings)
        distance = torch.stack([(embeddings - place).square().sum(2) for place in places])
        if self.masks == "soft":
            return (-self.sharpness * distance).softmax(0)
        return functional.one_hot(distance.argmin(0), self.sources).movedim(2, 0).to(embeddings)
