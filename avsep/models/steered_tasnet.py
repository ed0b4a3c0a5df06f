"""Separation by sound that lips steer: streams that were separated by sound, sorted by the lips, separate once more.

The streams of `SplitTasNet` are held against the lips at every moment, as a synchrony network embeds both. Each face
begins with those that go with it, joined to its lips' embedding by channel concatenation (Wu et al., Time domain audio
visual speech separation, 2019), and one more stream with what no face has. A further stack then lets them look at each
other.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.dsp.stft import HOP, WINDOW
from avsep.models.base import Output
from avsep.models.masking import MaskingModel
from avsep.models.parts.fusion import ConcatFusion, at_frames
from avsep.models.parts.lip_likeness import LipLikeness, standard
from avsep.models.parts.stft import CompressedStftEncoder, StftDecoder
from avsep.models.separators.split_tcn import SplitTCN, Stack
from avsep.models.synchrony import Synchrony
from avsep.signals import FRAME_RATE

WINDOWS = (15, 45, 125)
"""Pictures over which lips and voices are compared: a syllable or two, some words, all that is said."""


class SteeredTasNet(MaskingModel):
    """One estimate for each face given: lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of
    time as the mixture.

    synchrony: gives the embeddings; frozen. likeness: with it the model trains without lips: its cue is "sources"
    (batch, sources, 1, time), the clean voices, whose embeddings are made as vague as those of lips; of the first few
    of them, as not everybody is to be seen. What it learnt then is the `warm_start` of one that is given lips. The
    other arguments are those of `SplitTasNet`. Before any training a face has about what the separator gives, shared
    out by the lips.
    """

    def __init__(
        self,
        synchrony: Synchrony,
        likeness: LipLikeness | None = None,
        sources: int = 3,
        window: int = WINDOW,
        stride: int = HOP,
        channels: int = 192,
        hidden: int = 384,
        block_kernel: int = 3,
        blocks: int = 7,
        exchange_every: int = 4,
        norm: str = "gLN",
    ) -> None:
        cue = "lips" if likeness is None else "sources"
        super().__init__(
            CompressedStftEncoder(window, stride),
            SplitTCN(window // 2 + 1, channels, hidden, block_kernel, blocks, sources, 1, exchange_every, norm),
            StftDecoder(window, stride),
            fusion=ConcatFusion(channels, synchrony.lips.channels + 1),
            cue=cue,
            sample_rate=synchrony.sample_rate,
        )
        # A face takes less of what goes with another one.
        self.contract = replace(self.contract, joint=True)
        self.synchrony, self.likeness = synchrony.requires_grad_(False), likeness
        self.steered = Stack(channels, hidden, block_kernel, blocks, 1, norm, False, exchange_every)
        self.steered.pass_on(0)
        self.rest = nn.Parameter(torch.zeros(channels))
        self.slopes = nn.Parameter(torch.tensor([2.0, 4.0, 8.0]))

    def train(self, mode: bool = True) -> SteeredTasNet:
        # Batch norms of what is frozen keep what they learnt.
        super().train(mode)
        self.synchrony.eval()
        return self

    def compiled_modules(self) -> list[nn.Module]:
        return [self.separator.mixed, self.separator.parted, self.steered]

    @torch.no_grad()
    def embeddings(self, cue: Tensor) -> Tensor:
        """The cue of each source (batch, sources, ...) -> (batch, sources, pictures, channels)."""
        if self.likeness is None:
            return standard(self.synchrony.lips(cue.flatten(0, 1))).unflatten(0, cue.shape[:2])
        return self.likeness(self.voices(cue[:, :, 0]).flatten(0, 1)).unflatten(0, cue.shape[:2])

    @torch.no_grad()
    def voices(self, waveforms: Tensor) -> Tensor:
        """(batch, sources, time) -> embeddings (batch, sources, pictures, channels). A last part of a picture counts as
        a whole one, as it does where lips are cut out."""
        picture = self.contract.sample_rate // FRAME_RATE
        padded = F.pad(waveforms.flatten(0, 1).float(), (0, -waveforms.shape[-1] % picture))
        return standard(self.synchrony.voice(padded)).unflatten(0, waveforms.shape[:2])

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) and the cue (batch, sources, ...) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        assert self.fusion is not None
        cue = cues[self.cue]
        if self.training and self.likeness is not None:
            cue = cue[:, : int(torch.randint(1, cue.shape[1] + 1, ()))]
        faces, sources = cue.shape[1], self.separator.sources
        features, frames = self.encoder(mixture)
        *_, x = self.separator.streams(features)
        with torch.no_grad():
            by_sound = self.masked(frames, self.separator.masks(x, sources), mixture.shape[-1]).estimates
            assert by_sound is not None
            embeddings = self.embeddings(cue)
            together = self.together(embeddings, self.voices(by_sound[:, :, 0]))
        shares = self.shares(together).to(x.dtype)
        sure = (shares * together[..., 1, :].to(x.dtype)).sum(2).unsqueeze(3)
        cue_and_sure = torch.cat([embeddings[:, :, : sure.shape[2]].to(x.dtype), sure], 3)

        at = at_frames(shares.permute(0, 3, 1, 2).flatten(2), x.shape[1]).unflatten(2, (faces, sources))
        streams = x.unflatten(0, (-1, sources))
        own = torch.einsum("btfs,bstc->bftc", at, streams)
        left = torch.einsum("bts,bstc->btc", 1 - at.sum(2).clamp(max=1), streams) + self.rest.to(x.dtype)
        own = self.fusion(own.flatten(0, 1), cue_and_sure.flatten(0, 1)).unflatten(0, (-1, faces))
        steered = self.steered(torch.cat([own, left.unsqueeze(1)], 1).flatten(0, 1), faces + 1)
        return self.masked(frames, self.separator.masks(steered, faces + 1)[:, :faces], mixture.shape[-1])

    def together(self, faces: Tensor, voices: Tensor) -> Tensor:
        """Embeddings (batch, faces or sources, pictures, channels) -> their correlation around each picture, over each
        of the windows: (batch, faces, sources, windows, pictures)."""
        pictures = min(faces.shape[2], voices.shape[2])
        a, b = faces[:, :, None, :pictures], voices[:, None, :, :pictures]
        products = torch.stack([(a * b).sum(4), *torch.broadcast_tensors(a.square().sum(4), b.square().sum(4))], 3)
        found = []
        for window in WINDOWS:
            weights = torch.hann_window(window + 2, periodic=False, device=a.device)[1:-1].expand(1, 1, -1)
            sums = F.conv1d(products.float().reshape(-1, 1, pictures), weights, padding=window // 2)
            both, one, other = sums.reshape(products.shape).unbind(3)
            found.append(both / (one * other + 1e-6).sqrt())
        return torch.stack(found, 3)

    def shares(self, together: Tensor) -> Tensor:
        """Correlations of `together` -> how much of each source is each face's (batch, faces, sources, pictures)."""
        odds = (together * self.slopes[:, None]).sum(3)
        faces = odds.shape[1]
        # What goes well with another face is the less this one's.
        others = (odds.sum(1, keepdim=True) - odds) / max(1, faces - 1)
        return (odds - others).softmax(2)
