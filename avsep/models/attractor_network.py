"""Separation by attractors in a space of embeddings, whatever network makes the embeddings (Chen, Luo and Mesgarani,
2017; Luo, Chen and Mesgarani, 2018; Mobin, Cheung and Olshausen, 2018)."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from avsep.dsp.stft import HOP, WINDOW, full_precision, istft, stft
from avsep.models.base import Contract, Output, Part, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.models.parts.attractors import anchored, loudest_bins, masks_by
from avsep.models.parts.clustering import cluster
from avsep.models.parts.embeddings import AnyNumberOfSources
from avsep.models.parts.stft import log_magnitudes
from avsep.signals import SAMPLE_RATE

Attractors = Literal["k-means", "fixed", "anchored"]

MOST_SUBSETS = 500
"""Choices of as many anchors as there are sources: every one takes the memory of a mask for each source."""


class AttractorNetwork(AnyNumberOfSources, SeparationModel):
    """Estimates from one channel: an embedding for each time-frequency bin, a place in their space for each source (its
    attractor), and masks from how near the bins are to each.

    In training the attractors are those of the ideal assignment of bins to sources, which needs the sources: take
    `avsep.losses.OnAttractors` as the objective. In use they are found as `attractors` says:

    - "k-means": the centres of the embeddings. The network does not know how many sources there are: `sources` may be
      set to another number than it was trained with, also on a model that is loaded.
    - "fixed": the same for all mixtures, learnt as what the ideal ones are on average. No look at the whole mixture.
    - "anchored": from the learnt `anchors` that fit the mixture best (`avsep.models.parts.attractors.anchored`), in
      training too. The model then gives masks and estimates without the sources; take `avsep.losses.OnMasks` or
      `OnEstimates`. `sources` may be set to as many as there are anchors.

    trunk: (batch, frames, freq) -> embeddings (batch, frames, freq, dims), with `dims`, such as
    `avsep.models.parts.embeddings.RecurrentTrunk` or `avsep.models.parts.convolutional_trunk.ConvolutionalTrunk`.
    window and hop in samples. loudest: share of the bins of a mixture, 0 to 1, that count for its attractors.

    The comparison of the two trunks that the paper is about has an LSTM of 4 x 500 cells each way, whose directions
    meet at the end only in the authors' program and after every layer here (23 million weights in place of 17).
    """

    paper = "Mobin et al., Convolutional vs. recurrent neural networks for audio source separation"
    year = 2018
    paper_args: ClassVar = {"window": 256, "hop": 64, "sample_rate": 8000}

    trunk: Any
    """Any part that does the above."""

    def __init__(
        self,
        trunk: Part,
        sources: int = 2,
        attractors: Attractors = "k-means",
        anchors: int = 6,
        loudest: float = 0.9,
        window: int = WINDOW,
        hop: int = HOP,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        if attractors not in get_args(Attractors):
            raise ValueError(f"attractors is {attractors!r}; it must be one of {', '.join(get_args(Attractors))}")
        if not 0 < loudest <= 1:
            raise ValueError(f"loudest is {loudest}; it must be above 0 and at most 1")
        check_spectra(window, hop)
        check_whole(1, 64, sources=sources, anchors=anchors)
        freq = window // 2 + 1
        if getattr(trunk, "freq", freq) != freq:
            raise ValueError(f"the trunk takes {trunk.freq} bins of frequency, but a window of {window} gives {freq}")
        self.trunk, self.attractors, self.loudest = trunk, attractors, loudest
        self.window, self.hop = window, hop
        self.contract = Contract(sample_rate, stride=hop)
        self.sources = sources
        if attractors != "k-means":
            # Of the size of embeddings of one length, or of tanh.
            places = torch.randn(sources if attractors == "fixed" else anchors, self.trunk.dims)
            self.places = nn.Parameter(nn.functional.normalize(places, dim=1))
            self._check_sources()

    def _check_sources(self) -> None:
        """ValueError for more sources than there are attractors or anchors for."""
        if self.attractors == "fixed" and self.sources != len(self.places):
            raise ValueError(f"sources is {self.sources}, but the model has fixed attractors for {len(self.places)}")
        if self.attractors == "anchored" and not 0 < math.comb(len(self.places), self.sources) <= MOST_SUBSETS:
            raise ValueError(
                f"sources is {self.sources} and anchors {len(self.places)}; expected as many anchors or more, and at "
                f"most {MOST_SUBSETS} ways to choose from them"
            )

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.hop)

    def compiled_modules(self) -> list[nn.Module]:
        """Without the transform: inductor makes no code for complex numbers."""
        return [self.trunk]

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> embeddings (batch, freq, frames, dims), fixed attractors (batch, sources, dims);
        where they are anchored, masks and estimates (batch, sources, 1, time) too."""
        self.check(mixture)
        spectrum = self.transform(mixture[:, 0])
        embeddings = self.trunk(log_magnitudes(spectrum).mT).transpose(1, 2)
        output = Output(embeddings=embeddings, spectrum=spectrum, transform=self.transform)
        if self.attractors == "k-means":
            return output
        self._check_sources()
        if self.attractors == "fixed":
            output.attractors = self.places.expand(len(mixture), -1, -1)
            return output
        weights = loudest_bins(spectrum, self.loudest)
        output.attractors = anchored(embeddings, self.places, self.sources, weights)
        return self._masked(output, mixture.shape[-1])

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """The same with masks, which sum to 1, and estimates (batch, sources, 1, time), in no particular order."""
        output = self(mixture, **cues)
        if output.masks is not None:
            return output
        if output.attractors is None:
            output.attractors = self._centres(output)
        return self._masked(output, mixture.shape[-1])

    def _centres(self, output: Output) -> Tensor:
        """(batch, sources, dims) by k-means; the origin, and with it equal masks, where there are too few bins."""
        assert output.embeddings is not None
        assert output.spectrum is not None
        embeddings = full_precision(output.embeddings).detach()
        found = embeddings.new_zeros(len(embeddings), self.sources, self.trunk.dims)
        for item, (points, counts) in enumerate(
            zip(embeddings, loudest_bins(output.spectrum, self.loudest), strict=True)
        ):
            centres = cluster(points[counts].cpu().numpy(), self.sources)
            if centres is not None:
                found[item] = torch.from_numpy(centres).to(found)
        return found

    def _masked(self, output: Output, time: int) -> Output:
        """With the masks of its attractors, and estimates of `time` samples."""
        assert output.embeddings is not None
        assert output.spectrum is not None
        assert output.attractors is not None
        output.masks = masks_by(output.embeddings, output.attractors)
        bins = output.masks * output.spectrum.unsqueeze(1)
        output.estimates = istft(bins, time, self.window, self.hop).unsqueeze(2)
        return output
