"""An embedding for every time-frequency bin from dilated convolutions over the spectrogram (Mobin, Cheung and
Olshausen, 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from avsep.models.base import Part
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.embeddings import check_length, of_length

DILATIONS = (1, 2, 4, 8, 16, 32, 1, 2, 4, 8, 16, 32, 1)


class ConvolutionalTrunk(Part):
    """Features to an embedding of `dims` numbers for each bin, by one convolution of 3 x 3 bins for each of the
    `dilations`, in frames.

    All but the last have `channels` outputs, batch norm and ReLU; every second one adds the output of the one two
    before it. dilate_freq: bins are as far apart as frames, as the authors' program has it; else they lie side by side.
    length: that of all embeddings; None: as it comes. With 1, the authors', masks by softmax of products with
    attractors stay within 0.12 and 0.88; the square of 2.2 is the sharpness that soft masks of `DeepClustering` have.
    """

    def __init__(
        self,
        channels: int = 32,
        dims: int = 20,
        dilations: Sequence[int] = DILATIONS,
        dilate_freq: bool = True,
        length: float | None = 2.2,
    ) -> None:
        super().__init__()
        check_whole(1, MOST_SIZE, channels=channels, dims=dims)
        check_whole(2, 100, layers=len(dilations))
        check_whole(1, 10_000, **{f"dilations[{n}]": dilation for n, dilation in enumerate(dilations)})
        check_length(length)
        self.dims, self.length = dims, length
        *within, last = [(dilation, dilation if dilate_freq else 1) for dilation in dilations]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(1 if number == 0 else channels, channels, 3, padding=spread, dilation=spread),
                nn.BatchNorm2d(channels),
            )
            for number, spread in enumerate(within)
        )
        self.embed = nn.Conv2d(channels, dims, 3, padding=last, dilation=last)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, freq) -> (batch, frames, freq, dims)."""
        x, earlier = features.unsqueeze(1), None
        for number, layer in enumerate(self.layers, 1):
            x = layer(x)
            if number % 2 == 0:
                x = x if earlier is None else x + earlier
                x = earlier = x.relu()
            else:
                x = x.relu()
        return of_length(self.embed(x).permute(0, 2, 3, 1), self.length)
