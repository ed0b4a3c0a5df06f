"""What follows the dual-path blocks in SpeechBrain's SepFormer and asteroid's DPRNN: masks through a gate."""

from __future__ import annotations

from torch import Tensor, nn

from avsep.models.dprnn import overlap_added
from avsep.models.parts.layers import PointwiseConv, PReLU


class GatedHead(nn.Module):
    """A 1x1 convolution parts the chunks into sources, which are added up to frames; one layer gates another, and a
    last one leads to logits of masks."""

    def __init__(self, width: int, filters: int, sources: int) -> None:
        super().__init__()
        self.width, self.sources = width, sources
        self.split = nn.Sequential(PReLU(), PointwiseConv(width, sources * width))
        self.value, self.gate = PointwiseConv(width, width), PointwiseConv(width, width)
        self.leave = PointwiseConv(width, filters, bias=False)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(batch, chunks, size, width) -> (batch, sources, frames, filters)."""
        x = self.split(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
        # The sum of the two chunks that each frame is in, not their mean: what published weights were trained with.
        x = 2 * overlap_added(x, frames)
        x = x.unflatten(2, (self.sources, self.width)).transpose(1, 2).flatten(0, 1)
        x = self.value(x).tanh() * self.gate(x).sigmoid()
        return self.leave(x).unflatten(0, (-1, self.sources))
