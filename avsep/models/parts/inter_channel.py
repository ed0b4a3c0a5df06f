"""Features of what differs between the reference microphone and the others, and encoders that add them to their own
(Gu et al., End-to-end multi-channel speech separation, 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from avsep.dsp.spatial import interchannel_phase
from avsep.dsp.stft import check_window, full_precision, stft
from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_filters, check_spectra, check_whole
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.layers import GlobalLayerNorm, PReLU
from avsep.models.parts.microphones import mean_over_microphones, others_weights
from avsep.models.parts.stft import CompressedStftEncoder


class PhaseDifferences(Part):
    """Cosine and sine of the inter-channel phase differences (IPD) in the spectrum. window and hop in samples.

    width: features of a frame. hop, centre: samples between frames, and the middle of the first one.
    """

    centre = 0

    def __init__(self, window: int = 512, hop: int = 128) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_window(window, hop)
        self.window, self.hop = window, hop
        self.width = 2 * (window // 2 + 1)

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, microphones, time) -> (batch, microphones - 1, frames, width) in -1..1: cosines, then sines, 0 where
        a bin is silent."""
        # What counts as silence must not hang on the level of a recording.
        level = mixture.detach().square().mean(2, keepdim=True).sqrt().clamp_min(1e-8)
        spectrum = stft(mixture / level, self.window, self.hop)
        pairs = [(0, other) for other in range(1, mixture.shape[1])]
        return torch.cat(interchannel_phase(spectrum, pairs), dim=2).mT


class ConvolutionDifferences(Part):
    """Learnt inter-channel convolution differences (ICD; Gu et al., Enhancing end-to-end multi-channel speech
    separation via spatial feature learning, 2020).

    Each filter goes over the reference as it is, over another microphone under a window that begins as -1 and is learnt
    too, and the sum is taken: at first the difference of the two, filtered. kernel and stride in samples; width, hop
    and centre as in `PhaseDifferences`.
    """

    def __init__(self, filters: int = 64, kernel: int = 32, stride: int = 16) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, filters=filters)
        check_filters(kernel, stride)
        self.kernel, self.hop, self.width = kernel, stride, filters
        self.centre = stride - kernel // 2
        self.filters = nn.Linear(kernel, filters, bias=False)
        self.window = nn.Parameter(-torch.ones(kernel))
        self.norm = GlobalLayerNorm(filters)

    def forward(self, mixture: Tensor) -> Tensor:
        """(batch, microphones, time) -> (batch, microphones - 1, frames, width), free of the level."""
        edge = self.kernel - self.hop
        padded = nn.functional.pad(full_precision(mixture), (edge, edge + -mixture.shape[2] % self.hop))
        frames = padded.unfold(2, self.kernel, self.hop)
        differences = self.filters(frames[:, :1]) + self.filters(frames[:, 1:] * self.window)
        return self.norm(differences.flatten(0, 1)).unflatten(0, differences.shape[:2])


class PairFeatures(nn.Module):
    """Features of the pairs that the reference makes with the other microphones, for the frames of an encoder.

    features: `PhaseDifferences` or `ConvolutionDifferences`; their frames need not be those of the encoder, the nearest
    is taken. width: of what is added to the encoder's. hidden: units that are computed from each pair alone. pooled:
    their mean over the pairs is taken, so that any number of microphones from `fewest_channels` to `most_channels` will
    do, in any order but for the first; else there is a matrix for each pair, and the two must be equal.
    """

    # Any part that does what the two do.
    features: Any

    def __init__(
        self, features: Part, width: int, hidden: int, pooled: bool, fewest_channels: int, most_channels: int
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, hidden=hidden)
        check_whole(2, 128, fewest_channels=fewest_channels, most_channels=most_channels)
        if not pooled and fewest_channels != most_channels:
            raise ValueError(
                f"fewest_channels is {fewest_channels} and most_channels {most_channels}; without pooled they must be "
                "equal: each pair of microphones has weights of its own"
            )
        self.pooled, self.features = pooled, features
        self.of_pair = nn.Sequential(nn.Linear(self.features.width, hidden), PReLU())
        self.to_frames = nn.Linear(hidden if pooled else (most_channels - 1) * hidden, width)
        # Little at first: a separator that was trained with one microphone finds what it knows.
        with torch.no_grad():
            self.to_frames.weight.mul_(0.1)
            self.to_frames.bias.zero_()

    def forward(self, mixture: Tensor, count: int, hop: int, centre: int = 0) -> Tensor:
        """(batch, microphones, time) -> (batch, count, width), for frames whose middles are at sample `centre` and
        every `hop` from there."""
        pairs = self.of_pair(self.features(mixture).to(self.to_frames.weight.dtype))
        if self.pooled:
            spatial = mean_over_microphones(pairs, others_weights(mixture).to(pairs.dtype))
        else:
            spatial = pairs.transpose(1, 2).flatten(2)
        middle = torch.arange(count, device=spatial.device) * hop + centre
        return self.to_frames(self.nearest(spatial, middle))

    def nearest(self, spatial: Tensor, middle: Tensor) -> Tensor:
        """(batch, frames of the pairs, n), and the samples at which frames have their middles, to theirs."""
        number = (middle - self.features.centre + self.features.hop // 2).div(self.features.hop, rounding_mode="floor")
        return spatial.index_select(1, number.clamp(0, spatial.shape[1] - 1))


class ArrayEncoder(Encoder):
    """`Encoder` of the first microphone, the reference; features of the pairs that it makes with the others are added
    to what the separator gets, masks are for the reference's frames alone.

    A matrix that takes the frames and the features of pairs side by side is the sum of two matrices; added like this
    the separator is that of one microphone, and may start with its weights. Scaled with the frames, the features leave
    the model as indifferent to the level as it is with one microphone. The other arguments are those of `PairFeatures`.
    """

    def __init__(
        self,
        filters: int,
        kernel: int,
        stride: int,
        features: Part,
        hidden: int = 256,
        pooled: bool = True,
        fewest_channels: int = 2,
        most_channels: int = 8,
    ) -> None:
        super().__init__(filters, kernel, stride)
        self.channels = (fewest_channels, most_channels)
        self.pairs = PairFeatures(features, filters, hidden, pooled, fewest_channels, most_channels)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, microphones, time) -> features for the separator, and the reference's frames: (batch, frames,
        filters) each."""
        _, frames = super().forward(mixture[:, :1])
        level = frames.detach().square().mean((1, 2), keepdim=True).sqrt()
        spatial = self.pairs(mixture, frames.shape[1], self.stride, self.stride - self.kernel // 2)
        return frames + level * spatial, frames


class ArrayStftEncoder(CompressedStftEncoder):
    """`CompressedStftEncoder` of the first microphone, the reference, and the features of pairs as in `ArrayEncoder`:
    added, so that a separator of one microphone may go on with several. Masks are for the reference's bins alone."""

    def __init__(
        self,
        window: int,
        stride: int,
        features: Part,
        hidden: int = 256,
        pooled: bool = True,
        fewest_channels: int = 2,
        most_channels: int = 8,
    ) -> None:
        super().__init__(window, stride)
        self.channels = (fewest_channels, most_channels)
        self.pairs = PairFeatures(features, 3 * self.freq, hidden, pooled, fewest_channels, most_channels)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, microphones, time) -> features (batch, frames, 3 * freq), the reference's complex bins (batch,
        frames, freq)."""
        features, bins = super().forward(mixture[:, :1])
        return features + self.pairs(mixture, features.shape[1], self.stride), bins
