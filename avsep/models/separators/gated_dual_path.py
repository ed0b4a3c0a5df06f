"""`DualPathRNN` as asteroid builds it: masks through a gate, and chunks that begin before the first frame."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from avsep.models.dprnn import DualPathRNN, chunked
from avsep.models.parts.gated_head import GatedHead


class GatedDualPathRNN(DualPathRNN):
    """Arguments as of `DualPathRNN`; masks are in 0..1."""

    def __init__(
        self, filters: int, bottleneck: int, hidden: int, chunk: int, blocks: int, sources: int, cell: str = "lstm"
    ) -> None:
        super().__init__(filters, bottleneck, hidden, chunk, blocks, sources, cell)
        del self.leave
        self.head = GatedHead(bottleneck, filters, sources)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, filters) -> (batch, sources, frames, filters)."""
        count, hop = frames.shape[1], self.chunk // 2
        # A chunk of silence before the first that has a frame, and one behind the last where frames end with it: the
        # networks across chunks, and the norms, were trained with them.
        after = 0 if count % hop else hop
        x = chunked(functional.pad(self.enter(frames), (0, 0, hop, after)), self.chunk)
        for block in self.blocks:
            x = block(x)
        return self.head(x, count + hop)[:, :, hop:].sigmoid()
