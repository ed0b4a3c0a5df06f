"""DPRNN steered by lips: the audio-visual baseline of USEV (Pan, Ge and Li, 2022)."""

from __future__ import annotations

from typing import ClassVar

from avsep.models.dprnn import DualPathRNN
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.signals import SAMPLE_RATE


class AVDPRNN(MaskingModel):
    """One estimate for each face given: lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of
    time as the mixture.

    The lips join by channel concatenation behind the bottleneck, before the first dual-path block (Wu et al., Time
    domain audio visual speech separation, 2019, with a DPRNN in place of the temporal convolutions). kernel and stride
    of the encoder in samples, chunk in frames, hidden: cells of an LSTM each way. lip: arguments of `LipEncoder`.

    The released code has a rectifier where masks end here in 0..1, and depth-wise convolutions over time behind the
    lips' ResNet, where `LipEncoder` has full ones.
    """

    paper = "Pan et al., USEV: Universal speaker extraction with visual cue"
    year = 2022
    paper_args: ClassVar = {"lip": {}}

    def __init__(
        self,
        filters: int = 256,
        kernel: int = 40,
        stride: int = 20,
        bottleneck: int = 64,
        hidden: int = 128,
        chunk: int = 100,
        blocks: int = 6,
        cell: str = "lstm",
        sample_rate: int = SAMPLE_RATE,
        lip: dict | None = None,
    ) -> None:
        lips = LipEncoder(**(lip or {}))
        super().__init__(
            Encoder(filters, kernel, stride),
            DualPathRNN(filters, bottleneck, hidden, chunk, blocks, 1, cell),
            Decoder(filters, kernel, stride),
            lips,
            ConcatFusion(bottleneck, lips.channels),
            sample_rate=sample_rate,
        )
