"""Both ways together: a separation by sound, sorted by the lips, and a separator that looks at all of it again."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.models.base import SeparationModel
from avsep.models.conv_tasnet import AudioOnly
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.layers import PointwiseConv
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.synchrony import Synchrony, correlation
from avsep.signals import FRAME_RATE, SAMPLE_RATE


class Refined(SeparationModel):
    """One estimate for each face given: that of a frozen `listener` which goes best with the lips, as a frozen
    `synchrony` tells, and what a separator that sees the lips would add to it or take away.

    Before any training it answers what the listener does, sorted by the lips.

    listener: arguments of `AudioOnly`; synchrony: of `Synchrony`, both trained before and never trained here. The other
    sizes are those of `AudioVisual`.
    """

    conditioning = "lips"

    def __init__(
        self,
        listener: dict,
        synchrony: dict,
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
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.listener = AudioOnly(**listener).requires_grad_(False)
        self.synchrony = Synchrony(**synchrony).requires_grad_(False)
        self.encoder = Encoder(filters, kernel, stride)
        self.separator = TemporalConvNet(
            filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, 1, norm, False, fuse_after
        )
        self.fusion = ConcatFusion(bottleneck, self.synchrony.lips.channels + 1)
        self.add_own = PointwiseConv(filters, bottleneck)
        self.decoder = Decoder(filters, kernel, stride)
        to_masks = self.separator.to_masks[1]
        for parameter in to_masks.parameters():
            torch.nn.init.zeros_(parameter)

    def train(self, mode: bool = True) -> Refined:
        # Batch norms of what is frozen keep what they learnt.
        super().train(mode)
        self.listener.eval()
        self.synchrony.eval()
        return self

    @torch.no_grad()
    def choose(self, mixture: Tensor, lips: Tensor) -> tuple[Tensor, Tensor]:
        """mixture (batch, time), lips (batch, faces, pictures, height, width) -> the listener's estimates weighed by
        how well they go with each face (batch * faces, time), and what the lips show with, as one more channel, the
        correlation with that estimate (batch * faces, pictures, channels + 1)."""
        estimates = self.listener(mixture)
        batch, faces, pictures = lips.shape[:3]
        seen = self.synchrony.lips(lips.flatten(0, 1))
        samples = pictures * (self.sample_rate // FRAME_RATE)
        padded = torch.nn.functional.pad(estimates, (0, max(0, samples - estimates.shape[-1])))[..., :samples]
        heard = self.synchrony.voice(padded.flatten(0, 1)).unflatten(0, estimates.shape[:2])
        together = correlation(seen.unflatten(0, (batch, faces)).unsqueeze(2), heard.unsqueeze(1))
        weights = (self.synchrony.slope * together).softmax(2)
        own = (weights.to(estimates.dtype) @ estimates).flatten(0, 1)
        sure = (weights * together).sum(2).reshape(-1, 1, 1).expand(-1, pictures, 1)
        return own, torch.cat([seen, sure.to(seen.dtype)], 2)

    def forward(self, mixture: Tensor, lips: Tensor) -> Tensor:
        """mixture (batch, time), lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of time ->
        estimates (batch, faces, time)."""
        batch, faces = lips.shape[:2]
        own, seen = self.choose(mixture, lips)
        frames = self.encoder(mixture)
        heard, skips = self.separator.before(frames)
        heard = heard.repeat_interleave(faces, 0)
        skips = skips.repeat_interleave(faces, 0) if skips.dim() else skips
        x = self.fusion(heard, seen) + self.add_own(self.encoder(own))
        # A mask of one half leaves the estimate as it is.
        changes = 2 * self.separator.after(x, skips).unflatten(0, (batch, faces)).squeeze(2) - 1
        return own.unflatten(0, (batch, faces)) + self.decoder(changes * frames.unsqueeze(1), mixture.shape[-1])
