"""Universal sound separation in two passes: iTDCN++ (Kavalerov et al., 2019), alone or with the first estimates
classified in between (Tzinis et al., 2020)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from avsep.models.base import Output, SeparationModel
from avsep.models.parts.conditioning import Combine, Sigmoid
from avsep.models.parts.consistency import Weights
from avsep.models.parts.sound_embedding import SoundEmbedding
from avsep.models.separators.tdcn import Conditioned
from avsep.models.tdcn import Basis, TDCNpp
from avsep.signals import SAMPLE_RATE


class ITDCNpp(SeparationModel):
    """A `TDCNpp`, and a second one that is given its estimates besides the mixture.

    Training gets the first estimates as a stage (see `avsep.losses.OnStages`). embedding: of the first pass,
    second_embedding: of the second, each with a classifier of its own; for the second, estimates are those of the first
    pass. The other arguments, of both passes, are those of `TDCNpp`.
    """

    paper = "Kavalerov et al., Universal sound separation"
    year = 2019
    published = "9.8 dB SI-SDRi, universal sounds"

    def __init__(
        self,
        sources: int = 2,
        basis: Basis = "stft",
        filters: int = 256,
        window: int = 80,
        hop: int = 40,
        bottleneck: int = 128,
        hidden: int = 512,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        consistency: Weights = "predicted",
        embedding: SoundEmbedding | None = None,
        second_embedding: SoundEmbedding | None = None,
        embedding_channels: int = 128,
        sigmoid: Sigmoid = "trainable",
        combine: Combine = "concatenate",
        conditioned: Conditioned = "first",
        sample_rate: int = SAMPLE_RATE,
        power: float = 1.0,
    ) -> None:
        super().__init__()
        if embedding is not None and embedding.cue == "estimates":
            raise ValueError("embedding is of estimates, and the first pass has none; give it to the second pass")

        def one_pass(given: SoundEmbedding | None, refines: bool) -> TDCNpp:
            return TDCNpp(
                sources,
                basis,
                filters,
                window,
                hop,
                bottleneck,
                hidden,
                block_kernel,
                blocks,
                repeats,
                consistency,
                given,
                embedding_channels,
                sigmoid,
                combine,
                conditioned,
                refines,
                sample_rate,
                power,
            )

        self.first, self.second = one_pass(embedding, False), one_pass(second_embedding, True)
        cues = (*self.first.contract.cues, *self.second.contract.cues)
        self.contract = replace(self.first.contract, cues=tuple(c for c in dict.fromkeys(cues) if c != "estimates"))

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, sources, 1, time), and as a stage those of the first pass.

        Logits: "mixture" and "second_mixture" of the mixture in both passes (batch, frames, classes), "sources" of the
        first pass's estimates (batch, sources, frames, classes), where embeddings are made of them.
        """
        self.check(mixture)
        first = self.first(mixture, **cues)
        assert first.estimates is not None
        second = self.second(mixture, **cues, estimates=first.estimates)
        logits = first.logits | {
            "second_mixture" if name == "mixture" else name: x for name, x in second.logits.items()
        }
        return Output(second.estimates, (first.estimates,), logits=logits)
