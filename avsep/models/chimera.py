"""Separation by one network with two heads, embeddings that cluster and masks: chimera (Luo et al., 2017), chimera++
(Wang, Le Roux and Hershey, 2018)."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from torch import Tensor

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.base import Output
from avsep.models.deep_clustering import DeepClustering
from avsep.models.parts.blstm import Activation, MaskHead
from avsep.models.parts.clustering import Masks
from avsep.signals import SAMPLE_RATE

Head = Literal["masks", "embeddings"]


class Chimera(DeepClustering):
    """`DeepClustering` with a second head, of masks for a fixed number of sources, which gives the estimates.

    Trained with a `WeightedSum` of `OnEmbeddings` and of `OnMasks`, where the clustering keeps the masks from fitting
    the training data too closely. head: which one is used, "masks" or "embeddings", also of a model that is loaded;
    masks and sharpness are those of the clusters. activation: of the mask head, see `MaskHead`. The others as of
    `DeepClustering`, but the number of sources, which is fixed.
    """

    paper = "Luo et al., Deep clustering and conventional networks; Wang et al., Alternative objective functions"
    year = 2018
    published = "11.5 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {"hidden": 600, "window": 256, "hop": 64, "sample_rate": 8000}

    def __init__(
        self,
        sources: int = 2,
        layers: int = 4,
        hidden: int = 300,
        dims: int = 20,
        dropout: float = 0.3,
        window: int = WINDOW,
        hop: int = HOP,
        activation: Activation = "sigmoid",
        head: Head = "masks",
        masks: Masks = "binary",
        sharpness: float = 5.0,
        threshold_db: float = 40.0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            sources, layers, hidden, dims, dropout, window, hop, masks, sharpness, threshold_db, sample_rate
        )
        if head not in get_args(Head):
            raise ValueError(f"head is {head!r}; it must be one of {', '.join(get_args(Head))}")
        self.head = head
        self.to_masks = MaskHead(2 * hidden, self.encoder.freq, sources, activation)

    @property
    def sources(self) -> int:
        """Estimates it gives; those of the mask head."""
        return self.to_masks.sources

    @sources.setter
    def sources(self, sources: int) -> None:
        raise ValueError(f"sources is {sources}; the mask head has {self.sources}, for another number train it anew")

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> embeddings (batch, freq, frames, dims), masks (batch, sources, freq, frames) of
        the mask head and the estimates (batch, sources, 1, time) that they make."""
        x, spectrum = self.trunk(mixture)
        output = Output(embeddings=self.embed(x), spectrum=spectrum, transform=self.encoder.transform)
        return self.masked(output, self.to_masks(x).mT, mixture.shape[-1])

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """The same, with masks and estimates of the head that is used."""
        return super().separate(mixture, **cues) if self.head == "embeddings" else self(mixture, **cues)
