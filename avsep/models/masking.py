"""Encode, mask, decode: the frame of Conv-TasNet and of every model that differs from it in its parts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from torch import Tensor, nn

from avsep.models.base import Contract, Kind, Output, Part, SeparationModel
from avsep.signals import SAMPLE_RATE


class MaskingModel(SeparationModel):
    """An encoder, a separator that estimates masks, a decoder and, where a cue steers it, its encoder and the fusion.

    encoder(mixture) -> features (batch, frames, features) for the separator and what is masked (batch, frames,
    filters), with `stride`, `transform` (see `Output`; None where it has no spectrum) and, where it takes several
    microphones, their fewest and most as `channels`. separator(features) -> masks (batch, sources, frames, filters),
    with `sources` and, where a part of it is run through more than once, `rounds` and with_rounds(rounds) -> separator;
    with a fusion, separator.before(features) -> x, skips and separator.after(x,
    skips) -> masks of one source. cue_encoder(cue (n, ...)) -> (n, pictures, channels). fusion(x, embedding) -> x;
    without a cue_encoder the cue is an embedding already. decoder(masked (batch, sources, frames, filters), time) ->
    (batch, sources, time).

    cue: its name; there is then one estimate for each cue given, and the encoder and the separator's first part run
    once, however many there are. names: of the sources, where their order is fixed. kind: what they are.
    """

    # Any part that does the above.
    encoder: Any
    separator: Any
    decoder: Any

    def __init__(
        self,
        encoder: Part,
        separator: Part,
        decoder: Part,
        cue_encoder: Part | None = None,
        fusion: Part | None = None,
        cue: str = "lips",
        names: Sequence[str] = (),
        kind: Kind = "voice",
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        if cue_encoder is not None and fusion is None:
            raise ValueError("a cue_encoder needs a fusion; give both, or neither")
        self.encoder, self.separator, self.decoder = encoder, separator, decoder
        self.cue_encoder, self.fusion, self.cue = cue_encoder, fusion, cue
        steered = fusion is not None
        self.contract = Contract(
            sample_rate,
            getattr(self.encoder, "channels", (1, 1)),
            cues=(cue,) if steered else (),
            sources=None if steered else self.separator.sources,
            order="cue" if steered else "named" if names else "any",
            names=tuple(names),
            kind=kind,
            refine=not steered,
            stride=self.encoder.stride,
            rounds=getattr(self.separator, "rounds", 1),
        )

    def with_rounds(self, rounds: int) -> Self:
        """With a separator of its own, of the same layers."""
        other = copy.copy(self)
        other._modules = self._modules | {"separator": self.separator.with_rounds(rounds)}
        other.contract = replace(self.contract, rounds=rounds)
        return other

    def compiled_modules(self) -> list[nn.Module]:
        """Without the transform of a spectrum: inductor makes no code for complex numbers."""
        return [self] if self.encoder.transform is None else [self.separator]

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time), the cue (batch, sources, ...) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        features, frames = self.encoder(mixture)
        masks = self.separator(features) if self.fusion is None else self.steer(features, cues[self.cue])
        return self.masked(frames, masks, mixture.shape[-1])

    def masked(self, frames: Tensor, masks: Tensor, time: int) -> Output:
        """What is masked (batch, frames, filters) and masks (batch, sources, frames, filters) -> the output, `time`
        samples long."""
        estimates = self.decoder(masks * frames.unsqueeze(1), time)
        output = Output(estimates.unsqueeze(2))
        if self.encoder.transform is not None:
            output.spectrum, output.masks = frames.mT, masks.mT
            output.transform = self.encoder.transform
        return output

    def staged(self, frames: Tensor, rounds: Sequence[Tensor], time: int) -> Output:
        """As `masked`, with the masks after each round: the estimates of all but the last are stages."""
        *earlier, last = (self.masked(frames, masks, time) for masks in rounds)
        last.stages = tuple(output.estimates for output in earlier if output.estimates is not None)
        return last

    def steer(self, features: Tensor, cue: Tensor) -> Tensor:
        """Features (batch, frames, features) and cues (batch, sources, ...) -> masks (batch, sources, frames,
        filters)."""
        flat = cue.flatten(0, 1)
        embedding = flat if self.cue_encoder is None else self.cue_encoder(flat)
        return self.masks_for(features, embedding, cue.shape[1])

    def masks_for(self, features: Tensor, embedding: Tensor, sources: int, add: Tensor | None = None) -> Tensor:
        """Features and embeddings (batch * sources, pictures, channels) -> masks (batch, sources, frames, filters).

        add: (batch * sources, frames, bottleneck) goes to what the fusion gives.
        """
        assert self.fusion is not None
        x, skips = self.separator.before(features)
        x = x.repeat_interleave(sources, 0)
        skips = skips.repeat_interleave(sources, 0) if skips.dim() else skips
        x = self.fusion(x, embedding)
        x = x if add is None else x + add
        return self.separator.after(x, skips).unflatten(0, (-1, sources)).squeeze(2)
