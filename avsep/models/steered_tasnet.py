"""Separation by sound that lips steer: a stream for each face, and one for all that has none.

The streams of `SplitTasNet`, each begun with the embedding of a face's lips, that of a synchrony network, joined to the
mixture's features by channel concatenation (Wu et al., Time domain audio visual speech separation, 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.base import Output
from avsep.models.masking import MaskingModel
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.lip_likeness import LipLikeness, standard
from avsep.models.parts.stft import CompressedStftEncoder, StftDecoder
from avsep.models.separators.split_tcn import SplitTCN
from avsep.models.synchrony import Synchrony
from avsep.signals import FRAME_RATE


class SteeredTasNet(MaskingModel):
    """One estimate for each face given: lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of
    time as the mixture.

    synchrony: gives the embeddings; frozen. likeness: with it the model trains without lips: its cue is "sources"
    (batch, sources, 1, time), the clean voices, whose embeddings are made as vague as those of lips; of the first few
    of them, as not everybody is to be seen. What it learnt then is the `warm_start` of one that is given lips. The
    other arguments are those of `SplitTasNet`.
    """

    def __init__(
        self,
        synchrony: Synchrony,
        likeness: LipLikeness | None = None,
        window: int = WINDOW,
        stride: int = HOP,
        channels: int = 192,
        hidden: int = 384,
        block_kernel: int = 3,
        blocks: int = 7,
        rounds: int = 1,
        exchange_every: int = 4,
        norm: str = "gLN",
    ) -> None:
        freq = window // 2 + 1
        cue = "lips" if likeness is None else "sources"
        super().__init__(
            CompressedStftEncoder(window, stride),
            SplitTCN(freq, channels, hidden, block_kernel, blocks, 1, rounds, exchange_every, norm),
            StftDecoder(window, stride),
            fusion=ConcatFusion(channels, synchrony.lips.channels),
            cue=cue,
            sample_rate=synchrony.sample_rate,
        )
        self.synchrony, self.likeness = synchrony.requires_grad_(False), likeness
        self.rest = nn.Parameter(torch.zeros(channels))

    def train(self, mode: bool = True) -> SteeredTasNet:
        # Batch norms of what is frozen keep what they learnt.
        super().train(mode)
        self.synchrony.eval()
        return self

    def compiled_modules(self) -> list[nn.Module]:
        return [self.separator.mixed, self.separator.parted]

    @torch.no_grad()
    def embeddings(self, cue: Tensor) -> Tensor:
        """The cue of each source (batch, sources, ...) -> (batch * sources, pictures, channels)."""
        if self.likeness is None:
            return standard(self.synchrony.lips(cue.flatten(0, 1)))
        waveforms = cue[:, :, 0].flatten(0, 1)
        # A last part of a picture counts as a whole one, as it does where lips are cut out.
        picture = self.contract.sample_rate // FRAME_RATE
        waveforms = nn.functional.pad(waveforms, (0, -waveforms.shape[1] % picture))
        return self.likeness(standard(self.synchrony.voice(waveforms)))

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) and the cue (batch, sources, ...) -> estimates (batch, sources, 1, time)."""
        cue = cues[self.cue]
        if self.training and self.likeness is not None:
            cue = cue[:, : int(torch.randint(1, cue.shape[1] + 1, ()))]
        return self.steered(mixture, cue)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """Without the stages, which nobody needs in use."""
        return self.steered(mixture, cues[self.cue], last_only=True)

    def steered(self, mixture: Tensor, cue: Tensor, last_only: bool = False) -> Output:
        """last_only: without the estimates of the rounds before as stages."""
        self.check(mixture)
        assert self.fusion is not None
        sources = cue.shape[1]
        features, frames = self.encoder(mixture)
        (x,) = self.separator.first_streams(features).unbind(1)
        embeddings = self.embeddings(cue).to(x.dtype)
        own = self.fusion(x.repeat_interleave(sources, 0), embeddings).unflatten(0, (-1, sources))
        streams = torch.cat([own, (x + self.rest.to(x.dtype)).unsqueeze(1)], 1)
        rounds = list(self.separator.go_on(streams.flatten(0, 1), sources + 1))
        masks = [self.separator.masks(r, sources + 1)[:, :sources] for r in (rounds[-1:] if last_only else rounds)]
        return self.staged(frames, masks, mixture.shape[-1])
