"""Universal sound separation: TDCN++ (Kavalerov et al., 2019), alone or conditioned on a sound classifier
(Tzinis et al., 2020)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from avsep.errors import UsageError
from avsep.models.base import Output
from avsep.models.masking import MaskingModel
from avsep.models.parts.conditioning import Combine, Sigmoid
from avsep.models.parts.consistency import MixtureConsistency, Weights
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.sound_embedding import SoundEmbedding
from avsep.models.parts.stft import StftDecoder, StftEncoder
from avsep.models.separators.tdcn import Conditioned, DilatedConvNet
from avsep.signals import SAMPLE_RATE

Basis = Literal["stft", "learned"]


class TDCNpp(MaskingModel):
    """A fixed number of sounds from one channel, in no particular order; they sum to the mixture.

    basis: "stft" (magnitudes raised to `power`, points of the next power of two above the window) or "learned"
    (`filters`, ReLU). window and hop in samples. The other sizes are those of Conv-TasNet: B, H, P, X, R. consistency:
    weights of `MixtureConsistency`.

    embedding: what the separator is conditioned on, in `embedding_channels` (B'). sigmoid, combine: see `Conditioning`.
    conditioned: the "first" block or "all". An embedding of clean sources makes them a cue, "sources" (batch, sources,
    1, time), which only training and analysis have. refines: the model is a second pass; the estimates of the first,
    the cue "estimates" (batch, sources, 1, time), are analysed with the mixture.
    """

    paper = "Kavalerov et al., Universal sound separation"
    year = 2019
    published = "9.1 dB SI-SDRi, universal sounds"

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
        embedding_channels: int = 128,
        sigmoid: Sigmoid = "trainable",
        combine: Combine = "concatenate",
        conditioned: Conditioned = "first",
        refines: bool = False,
        sample_rate: int = SAMPLE_RATE,
        power: float = 1.0,
    ) -> None:
        if basis not in get_args(Basis):
            raise ValueError(f"basis is {basis!r}; it must be one of {', '.join(get_args(Basis))}")
        if embedding is not None and embedding.classifier.sample_rate != sample_rate:
            raise ValueError(
                f"the classifier takes {embedding.classifier.sample_rate} Hz and the separator {sample_rate} Hz; they "
                "must be the same"
            )
        encoder: Encoder | StftEncoder
        decoder: Decoder | StftDecoder
        if basis == "stft":
            points = 1 << (window - 1).bit_length()
            encoder = StftEncoder(window, hop, power, points)
            decoder = StftDecoder(window, hop, points)
            filters = encoder.filters
        else:
            encoder, decoder = Encoder(filters, window, hop), Decoder(filters, window, hop)
        separator = DilatedConvNet(
            filters * (1 + sources if refines else 1),
            filters,
            bottleneck,
            hidden,
            block_kernel,
            blocks,
            repeats,
            sources,
            0 if embedding is None else embedding.classes(sources),
            embedding_channels,
            sigmoid,
            combine,
            conditioned,
        )
        super().__init__(encoder, separator, decoder, kind="sound", sample_rate=sample_rate)
        self.consistency = MixtureConsistency(sources, bottleneck, consistency)
        self.embedding, self.sources, self.refines = embedding, sources, refines
        needed = ("estimates" if refines else None, None if embedding is None else embedding.cue)
        cues = tuple(dict.fromkeys(cue for cue in needed if cue is not None))
        self.contract = replace(self.contract, cues=cues, refine=False)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time), cues (batch, sources, 1, time) -> estimates (batch, sources, 1, time), and the
        logits of the embedding where it is of what can be had in use (see `SoundEmbedding`)."""
        self.check(mixture)
        given = {name: self.fitting(name, cues[name]) for name in self.contract.cues}
        features, frames = self.encoder(mixture)
        if self.refines:
            earlier, _ = self.encoder(given["estimates"].flatten(0, 1).unsqueeze(1))
            earlier = earlier.unflatten(0, (-1, self.sources)).transpose(1, 2).flatten(2)
            features = torch.cat([features, earlier], 2)
        vectors, logits = None, {}
        if self.embedding is not None:
            vectors, logits = self.embedding(mixture[:, 0], given.get(self.embedding.cue or ""))
        x = self.separator.activations(features, vectors)
        estimates = self.decoder(self.separator.masks(x) * frames.unsqueeze(1), mixture.shape[-1])
        estimates = self.consistency(estimates, mixture[:, 0], x)
        return Output(estimates.unsqueeze(2), logits=logits)

    def fitting(self, name: str, cue: Tensor) -> Tensor:
        """(batch, up to `sources`, channels, time) -> (batch, sources, time) of the first channel, with silence for
        those that are not there. Raises UsageError for more."""
        if cue.shape[1] > self.sources:
            raise UsageError(
                f"{cue.shape[1]} {name} are given to {type(self).__name__} as a cue; it has {self.sources} sources. "
                "Take data with so many at most, or a model with more"
            )
        return torch.nn.functional.pad(cue[:, :, 0], (0, 0, 0, self.sources - cue.shape[1]))
