"""A target's voice by all that is known of the target: lips, direction and, where there is one, another recording of
the voice (Gu et al., Multi-modal multi-channel target speech separation, 2020)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from avsep.models.base import Output
from avsep.models.masking import MaskingModel
from avsep.models.parts.direction import DirectedStftEncoder
from avsep.models.parts.fusion import ConcatFusion, FactorizedAttention
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.parts.stft import StftDecoder
from avsep.models.parts.voice_encoder import VoiceEncoder
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE

Fusion = Literal["attention", "concat"]


class MultimodalTarget(MaskingModel):
    """One estimate for each target given, as it is at the first microphone, from 2 to `most_channels` microphones.

    Cues: lips (batch, targets, pictures, height, width) in 0..1 of the same stretch of time as the mixture; delays
    (batch, targets, microphones) in s, of the direct sound at each microphone behind the first, which stand for the
    direction; with voice, enrolment (batch, targets, time), another recording of each at the model's rate. Of more
    delays or enrolments than lips the first ones count: there may be talkers whose lips are not shown.

    The angle feature joins the spectrum and the phase differences at the input, the lips after `fuse_after` repeats of
    the separator, by factorised attention ("attention") or by concatenation ("concat"). window, stride: of the STFT, in
    samples. pair_hidden: see `DirectedStftEncoder`; subspaces: see `FactorizedAttention`. lip: arguments of
    `LipEncoder`. voice: arguments of `VoiceEncoder`, whose mean over time is added where the lips join; None for a
    model without enrolment.
    """

    paper = "Gu et al., Multi-modal multi-channel target speech separation"
    year = 2020
    paper_args: ClassVar = {"lip": {}}

    def __init__(
        self,
        window: int = 512,
        stride: int = 256,
        power: float = 0.3,
        bottleneck: int = 256,
        hidden: int = 512,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        fuse_after: int = 1,
        norm: str = "gLN",
        fusion: Fusion = "attention",
        subspaces: int = 10,
        pair_hidden: int = 256,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
        lip: dict | None = None,
        voice: dict | None = None,
    ) -> None:
        if fusion not in get_args(Fusion):
            raise ValueError(f"fusion is {fusion!r}; it must be one of {', '.join(get_args(Fusion))}")
        if voice is not None and sample_rate != SAMPLE_RATE:
            raise ValueError(f"sample_rate is {sample_rate}; with voice it must be {SAMPLE_RATE}")
        lips = LipEncoder(**(lip or {}))
        encoder = DirectedStftEncoder(
            window, stride, power, pair_hidden, most_channels=most_channels, sample_rate=sample_rate
        )
        super().__init__(
            encoder,
            TemporalConvNet(
                encoder.filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, 1, norm, False, fuse_after
            ),
            StftDecoder(window, stride),
            lips,
            ConcatFusion(bottleneck, lips.channels)
            if fusion == "concat"
            else FactorizedAttention(bottleneck, lips.channels, subspaces),
            sample_rate=sample_rate,
        )
        self.voice = None if voice is None else VoiceEncoder(**voice)
        self.of_voice = None if self.voice is None else nn.Linear(self.voice.channels, bottleneck)
        cues = ("lips", "delays") if voice is None else ("lips", "delays", "enrolment")
        self.contract = replace(self.contract, cues=cues)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, microphones, time), the cues -> estimates (batch, targets, 1, time)."""
        self.check(mixture)
        features, bins = self.encoder(mixture)
        lips = cues["lips"]
        delays = cues["delays"][:, : lips.shape[1]]
        directed = self.encoder.toward(features, mixture, delays)
        x, skips = self.separator.before(directed)
        assert self.fusion is not None
        assert self.cue_encoder is not None
        x = self.fusion(x, self.cue_encoder(lips.flatten(0, 1)))
        if self.voice is not None and self.of_voice is not None:
            of_voice = self.voice(cues["enrolment"][:, : lips.shape[1]].flatten(0, 1)).mean(1)
            x = x + self.of_voice(of_voice).unsqueeze(1)
        masks = self.separator.after(x, skips).unflatten(0, lips.shape[:2]).squeeze(2)
        return self.masked(bins, masks, mixture.shape[-1])
