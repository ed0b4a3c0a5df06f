"""The fused way: the voice that belongs to a pair of lips (Wu et al., 2019)."""

from __future__ import annotations

from torch import Tensor

from avsep.models.base import SeparationModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.signals import SAMPLE_RATE


class AudioVisual(SeparationModel):
    """One estimate for each face given. The audio encoder and the repeats before the fusion run once, however many
    faces.

    fuse_after: how many repeats of the separator are run before the lips join. lip: arguments of `LipEncoder`.
    """

    conditioning = "lips"

    def __init__(
        self,
        filters: int = 256,
        kernel: int = 40,
        stride: int = 20,
        bottleneck: int = 256,
        hidden: int = 512,
        skip: int = 0,
        block_kernel: int = 3,
        blocks: int = 8,
        repeats: int = 4,
        fuse_after: int = 1,
        norm: str = "gLN",
        causal: bool = False,
        sample_rate: int = SAMPLE_RATE,
        lip: dict | None = None,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.lip_encoder = LipEncoder(**(lip or {}))
        self.encoder = Encoder(filters, kernel, stride)
        self.separator = TemporalConvNet(
            filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, 1, norm, causal, fuse_after
        )
        self.fusion = ConcatFusion(bottleneck, self.lip_encoder.channels)
        self.decoder = Decoder(filters, kernel, stride)

    def forward(self, mixture: Tensor, lips: Tensor) -> Tensor:
        """mixture (batch, time), lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of time ->
        estimates (batch, faces, time)."""
        batch, faces = lips.shape[:2]
        frames = self.encoder(mixture)
        heard, skips = self.separator.before(frames)
        seen = self.lip_encoder(lips.flatten(0, 1))
        heard = heard.repeat_interleave(faces, 0)
        skips = skips.repeat_interleave(faces, 0) if skips.dim() else skips
        masks = self.separator.after(self.fusion(heard, seen), skips).unflatten(0, (batch, faces)).squeeze(2)
        return self.decoder(masks * frames.unsqueeze(1), mixture.shape[-1])
