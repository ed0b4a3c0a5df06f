"""Features of a target's direction: how far the phase differences of every bin are those of a sound from there."""

from __future__ import annotations

from torch import Tensor, nn

from avsep.dsp.spatial import angle_feature, bin_frequencies
from avsep.dsp.stft import stft
from avsep.models.limits import check_whole
from avsep.models.parts.inter_channel import PairFeatures, PhaseDifferences
from avsep.models.parts.microphones import others_weights
from avsep.models.parts.stft import StftEncoder
from avsep.signals import SAMPLE_RATE


class DirectedStftEncoder(StftEncoder):
    """`StftEncoder` of the first microphone, the reference, with the phase differences of the pairs that it makes with
    the others, and for each target its angle feature (`avsep.dsp.spatial.angle_feature`).

    All are projected to the width of the spectrum and added, which is what a matrix makes of them side by side; scaled
    with the spectrum, they leave the model as indifferent to the level as it is with one microphone. Masks are for the
    reference's bins. hidden: units that are computed from each pair alone.
    """

    def __init__(
        self,
        window: int,
        stride: int,
        power: float = 0.3,
        hidden: int = 256,
        fewest_channels: int = 2,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__(window, stride, power)
        check_whole(1000, 384_000, sample_rate=sample_rate)
        self.channels = (fewest_channels, most_channels)
        features = PhaseDifferences(window, stride)
        self.pairs = PairFeatures(features, self.filters, hidden, True, fewest_channels, most_channels)
        self.angle = nn.Linear(self.filters, self.filters)
        self.register_buffer("frequencies", bin_frequencies(window, sample_rate), persistent=False)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, microphones, time) -> features (batch, frames, freq), the reference's complex bins (batch, frames,
        freq)."""
        features, bins = super().forward(mixture[:, :1])
        spatial = self.pairs(mixture, features.shape[1], self.stride)
        return features + self.level(features) * spatial, bins

    def toward(self, features: Tensor, mixture: Tensor, delays: Tensor) -> Tensor:
        """What `forward` gives, with the direction of each target: delays (batch, targets, microphones) in s ->
        (batch * targets, frames, freq)."""
        spectrum = stft(mixture, self.window, self.stride)
        angles = angle_feature(spectrum, delays, self.get_buffer("frequencies"), others_weights(mixture))
        directed = self.angle(angles.mT.to(self.angle.weight.dtype))
        return (features.unsqueeze(1) + self.level(features).unsqueeze(1) * directed).flatten(0, 1)

    @staticmethod
    def level(features: Tensor) -> Tensor:
        """(batch, frames, freq) -> (batch, 1, 1)."""
        return features.detach().square().mean((1, 2), keepdim=True).sqrt()
