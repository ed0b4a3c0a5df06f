"""The deep attractor network, DANet (Chen, Luo and Mesgarani, 2017), and the one with anchors, ADANet (Luo, Chen and
Mesgarani, 2018)."""

from __future__ import annotations

from typing import ClassVar, Literal

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.attractor_network import AttractorNetwork
from avsep.models.limits import check_spectra
from avsep.models.parts.embeddings import RecurrentTrunk
from avsep.signals import SAMPLE_RATE


class DANet(AttractorNetwork):
    """`AttractorNetwork` with embeddings of a bidirectional LSTM and, in use, attractors by k-means or fixed ones.

    layers, hidden, dropout: of the LSTM, cells each way. dims: of an embedding (K). attractors, loudest, window and
    hop: see `AttractorNetwork`.
    """

    paper = "Chen et al., Deep attractor network for single-microphone speaker separation"
    year = 2017
    published = "10.5 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"window": 256, "hop": 64, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        layers: int = 4,
        hidden: int = 300,
        dims: int = 20,
        dropout: float = 0.0,
        attractors: Literal["k-means", "fixed"] = "k-means",
        loudest: float = 0.9,
        window: int = WINDOW,
        hop: int = HOP,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        if attractors not in ("k-means", "fixed"):
            raise ValueError(f"attractors is {attractors!r}; it must be k-means or fixed. ADANet has anchored ones")
        check_spectra(window, hop)
        trunk = RecurrentTrunk(window // 2 + 1, layers, hidden, dims, dropout)
        super().__init__(trunk, sources, attractors, loudest=loudest, window=window, hop=hop, sample_rate=sample_rate)


class ADANet(AttractorNetwork):
    """`AttractorNetwork` with embeddings of a bidirectional LSTM and attractors from anchors, in training and in use.

    anchors: how many there are (N), of which each mixture takes as many as it has sources. The others as in `DANet`.
    """

    paper = "Luo et al., Speaker-independent speech separation with deep attractor network"
    year = 2018
    published = "10.4 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"window": 256, "hop": 64, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        layers: int = 4,
        hidden: int = 300,
        dims: int = 20,
        dropout: float = 0.0,
        anchors: int = 6,
        loudest: float = 0.9,
        window: int = WINDOW,
        hop: int = HOP,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        check_spectra(window, hop)
        trunk = RecurrentTrunk(window // 2 + 1, layers, hidden, dims, dropout)
        super().__init__(trunk, sources, "anchored", anchors, loudest, window, hop, sample_rate)
