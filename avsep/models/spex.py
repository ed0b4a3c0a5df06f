"""Extraction of the voices that other recordings of them name: SpEx (Xu et al., 2020) and SpEx+ (Ge et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.multi_scale import MultiScaleDecoder, MultiScaleEncoder
from avsep.models.parts.speaker_encoder import FeatureSpeakerEncoder, SpectrumSpeakerEncoder
from avsep.models.separators.speaker_tcn import SpeakerTCN
from avsep.signals import SAMPLE_RATE


class SpEx(SeparationModel):
    """One estimate for each enrolment given: enrolment (batch, sources, time) is another utterance of that speaker.

    kernels of the encoder in samples, the shortest first (2.5, 10 and 20 ms). bottleneck: O, hidden: P. embedding: of a
    speaker. speakers: that the training tells apart (their cross-entropy is `OnLogits` with the name "speaker"); 0 for
    none. The shortest kernel makes the estimates; in training those of the longer ones are stages, the longest first
    (`OnStages` with the weights 0.1, 0.1, 0.8).

    shared: the enrolment goes through the encoder of the mixture, as in SpEx+. Else through an STFT of `window` and
    `hop` samples and an LSTM of `cells` each way.
    """

    paper = "Xu et al., SpEx"
    year = 2020
    published = "16.6 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {
        "filters": 256,
        "kernels": [20, 80, 160],
        "bottleneck": 256,
        "hidden": 512,
        "embedding": 256,
        "speakers": 101,
        "window": 256,
        "hop": 64,
        "cells": 256,
        "sample_rate": 8000,
    }

    def __init__(
        self,
        filters: int = 128,
        kernels: Sequence[int] = (40, 160, 320),
        bottleneck: int = 128,
        hidden: int = 256,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        embedding: int = 128,
        speakers: int = 0,
        shared: bool = False,
        window: int = 512,
        hop: int = 128,
        cells: int = 128,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_whole(0, MOST_SIZE, speakers=speakers)
        self.encoder = MultiScaleEncoder(filters, kernels)
        features = self.encoder.filters
        self.separator = SpeakerTCN(features, features, bottleneck, hidden, block_kernel, blocks, repeats, embedding)
        self.decoder = MultiScaleDecoder(filters, kernels)
        self.speaker: FeatureSpeakerEncoder | SpectrumSpeakerEncoder
        if shared:
            self.speaker = FeatureSpeakerEncoder(features, bottleneck, hidden, embedding)
        else:
            self.speaker = SpectrumSpeakerEncoder(window, hop, cells, embedding)
        self.classify = nn.Linear(embedding, speakers) if speakers else None
        self.contract = Contract(
            sample_rate, cues=("enrolment",), sources=None, order="cue", stride=self.encoder.stride
        )

    def compiled_modules(self) -> list[nn.Module]:
        """Without the spectra: inductor makes no code for complex numbers."""
        return [self.separator]

    def embeddings(self, enrolment: Tensor) -> Tensor:
        """(batch, sources, time) -> (batch, sources, embedding)."""
        waveforms = enrolment.flatten(0, 1)
        if isinstance(self.speaker, FeatureSpeakerEncoder):
            found = self.speaker(self.encoder(waveforms.unsqueeze(1)))
        else:
            found = self.speaker(waveforms)
        return found.unflatten(0, enrolment.shape[:2])

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time), enrolment (batch, sources, time) -> estimates (batch, sources, 1, time), those of
        the longer kernels as stages, and logits "speaker" (batch, sources, speakers)."""
        embedding = self.embeddings(cues["enrolment"])
        output = self.extracted(mixture, embedding)
        if self.classify is not None:
            output.logits["speaker"] = self.classify(embedding)
        return output

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """Without what only training needs."""
        return self.extracted(mixture, self.embeddings(cues["enrolment"]), scales=1)

    def extracted(self, mixture: Tensor, embedding: Tensor, scales: int | None = None) -> Output:
        """mixture (batch, 1, time), embeddings (batch, sources, embedding) -> estimates of the shortest kernel, and
        those of the other scales as stages."""
        self.check(mixture)
        frames = self.encoder(mixture)
        masks = self.separator(frames, embedding)
        first, *others = self.decoder(masks * frames.unsqueeze(1), mixture.shape[-1], scales)
        return Output(first.unsqueeze(2), tuple(one.unsqueeze(2) for one in reversed(others)))


class SpExPlus(SpEx):
    """`SpEx` whose encoder is shared: it encodes the enrolment as it encodes the mixture."""

    paper = "Ge et al., SpEx+"
    year = 2020
    published = "17.4 dB SI-SNRi, WSJ0-2mix"
    paper_args: ClassVar = {
        name: value for name, value in SpEx.paper_args.items() if name not in ("window", "hop", "cells")
    }

    def __init__(
        self,
        filters: int = 128,
        kernels: Sequence[int] = (40, 160, 320),
        bottleneck: int = 128,
        hidden: int = 256,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        embedding: int = 128,
        speakers: int = 0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(
            filters,
            kernels,
            bottleneck,
            hidden,
            block_kernel,
            blocks,
            repeats,
            embedding,
            speakers,
            shared=True,
            sample_rate=sample_rate,
        )
