"""Both ways together: a separation by sound, sorted by the lips, and a separator that looks at all of it again."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.models.base import Output, SeparationModel
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.layers import PointwiseConv
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.synchrony import Synchrony, correlation
from avsep.signals import FRAME_RATE


class Refined(MaskingModel):
    """One estimate for each face given: that of a frozen `first` model, without cues, which goes best with the lips, as
    a frozen `synchrony` network tells, and what a separator that knows the lips would add to it or take away.

    Before any training it gives what the first model does, sorted by the lips. The sizes are those of `AVConvTasNet`.
    """

    def __init__(
        self,
        first: SeparationModel,
        synchrony: Synchrony,
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
    ) -> None:
        takes = first.contract
        if takes.cues or takes.channels[0] > 1 or takes.sample_rate != synchrony.sample_rate:
            raise ValueError(
                f"first takes {takes.channel_counts} channels at {takes.sample_rate} Hz"
                f"{' and ' if takes.cues else ''}{', '.join(takes.cues)}; it must take one channel at "
                f"{synchrony.sample_rate} Hz and no cues"
            )
        super().__init__(
            Encoder(filters, kernel, stride),
            TemporalConvNet(
                filters, bottleneck, hidden, skip, block_kernel, blocks, repeats, 1, norm, False, fuse_after
            ),
            Decoder(filters, kernel, stride),
            fusion=ConcatFusion(bottleneck, synchrony.lips.channels + 1),
            sample_rate=first.contract.sample_rate,
        )
        self.first, self.synchrony = first.requires_grad_(False), synchrony.requires_grad_(False)
        self.add_own = PointwiseConv(filters, bottleneck)
        for parameter in self.separator.to_masks[1].parameters():
            torch.nn.init.zeros_(parameter)

    def train(self, mode: bool = True) -> Refined:
        # Batch norms of what is frozen keep what they learnt.
        super().train(mode)
        self.first.eval()
        self.synchrony.eval()
        return self

    @torch.no_grad()
    def choose(self, mixture: Tensor, lips: Tensor) -> tuple[Tensor, Tensor]:
        """mixture (batch, 1, time), lips (batch, faces, pictures, height, width) -> the first model's estimates weighed
        by how well they go with each face (batch * faces, time), and the lips' embeddings with, as one more channel,
        the correlation with that estimate (batch * faces, pictures, channels + 1)."""
        estimates = self.first(mixture).estimates[:, :, 0]
        batch, faces, pictures = lips.shape[:3]
        embedding = self.synchrony.lips(lips.flatten(0, 1))
        samples = pictures * (self.contract.sample_rate // FRAME_RATE)
        padded = torch.nn.functional.pad(estimates, (0, max(0, samples - estimates.shape[-1])))[..., :samples]
        voices = self.synchrony.voice(padded.flatten(0, 1)).unflatten(0, estimates.shape[:2])
        together = correlation(embedding.unflatten(0, (batch, faces)).unsqueeze(2), voices.unsqueeze(1))
        weights = (self.synchrony.slope * together).softmax(2)
        own = (weights.to(estimates.dtype) @ estimates).flatten(0, 1)
        sure = (weights * together).sum(2).reshape(-1, 1, 1).expand(-1, pictures, 1)
        return own, torch.cat([embedding, sure.to(embedding.dtype)], 2)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time), lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of time ->
        estimates (batch, faces, 1, time)."""
        self.check(mixture)
        faces = cues["lips"].shape[1]
        own, embedding = self.choose(mixture, cues["lips"])
        features, frames = self.encoder(mixture)
        masks = self.masks_for(features, embedding, faces, self.add_own(self.encoder(own.unsqueeze(1))[0]))
        # A mask of one half leaves the estimate as it is.
        changes = self.decoder((2 * masks - 1) * frames.unsqueeze(1), mixture.shape[-1])
        return Output((own.unflatten(0, (-1, faces)) + changes).unsqueeze(2))
