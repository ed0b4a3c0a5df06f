"""Separation by embeddings that cluster: deep clustering (Hershey et al., 2016; Isik et al., 2016)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from avsep.dsp.stft import HOP, WINDOW, istft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.parts.blstm import EmbeddingHead, blstm
from avsep.models.parts.clustering import Masks, audible_bins, check_clustering, cluster_masks
from avsep.models.parts.embeddings import AnyNumberOfSources
from avsep.models.parts.stft import LogStftEncoder
from avsep.signals import SAMPLE_RATE


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
    published = "10.8 dB SI-SNRi, WSJ0-2mix, with a second network behind it"
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
        check_clustering(masks, threshold_db)
        self.encoder = LogStftEncoder(window, hop)
        self.masks, self.sharpness, self.threshold_db = masks, sharpness, threshold_db
        self.lstm = blstm(self.encoder.freq, hidden, layers, dropout)
        self.embed = EmbeddingHead(2 * hidden, self.encoder.freq, dims)
        self.contract = Contract(sample_rate, sources=sources, stride=hop)

    def trunk(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """mixture (batch, 1, time) -> what the heads are given (batch, frames, 2 * hidden), complex spectrum (batch,
        freq, frames)."""
        self.check(mixture)
        features, bins = self.encoder(mixture)
        return self.lstm(features)[0], bins.mT

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> embeddings (batch, freq, frames, dims); no estimates."""
        x, spectrum = self.trunk(mixture)
        return Output(embeddings=self.embed(x), spectrum=spectrum, transform=self.encoder.transform)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """The same with masks, and estimates (batch, sources, 1, time) in no particular order."""
        output = self(mixture, **cues)
        spectrum, embeddings = output.spectrum, output.embeddings
        assert spectrum is not None
        assert embeddings is not None
        pairs = zip(embeddings.float(), audible_bins(spectrum, self.threshold_db), strict=True)
        masks = [cluster_masks(item, audible, self.sources, self.masks, self.sharpness) for item, audible in pairs]
        return self.masked(output, torch.stack(masks), mixture.shape[-1])

    def masked(self, output: Output, masks: Tensor, time: int) -> Output:
        """The output with masks (batch, sources, freq, frames) and the estimates that they make."""
        assert output.spectrum is not None
        bins = masks * output.spectrum.unsqueeze(1)
        output.masks = masks
        output.estimates = istft(bins, time, self.encoder.window, self.encoder.stride).unsqueeze(2)
        return output
