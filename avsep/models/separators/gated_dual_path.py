"""`DualPathRNN` as other projects build it: masks through a gate, and silence at the ends that makes whole chunks."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional

from avsep.models.dprnn import DualPathRNN, chunked, evened
from avsep.models.parts.gated_head import GatedHead

Masks = Literal["sigmoid", "relu"]
Silence = Literal["around", "after"]


class GatedDualPathRNN(DualPathRNN):
    """Other arguments as of `DualPathRNN`. masks: in 0..1 by a "sigmoid", or of 0 or more by a "relu".

    silence: "around", a chunk of it before the first that has a frame, and one behind the last where frames end with
    it (asteroid); "after", up to an even number of chunks (Dual-Path-RNN-Pytorch). The networks across chunks, and the
    norms, were trained with it.
    """

    def __init__(
        self,
        filters: int,
        bottleneck: int,
        hidden: int,
        chunk: int,
        blocks: int,
        sources: int,
        cell: str = "lstm",
        masks: Masks = "sigmoid",
        silence: Silence = "around",
    ) -> None:
        super().__init__(filters, bottleneck, hidden, chunk, blocks, sources, cell)
        for name, value, allowed in (("masks", masks, get_args(Masks)), ("silence", silence, get_args(Silence))):
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
        self.rectified, self.after_only = masks == "relu", silence == "after"
        del self.leave
        self.head = GatedHead(bottleneck, filters, sources)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, filters) -> (batch, sources, frames, filters)."""
        x = self.enter(frames)
        count, hop = frames.shape[1], self.chunk // 2
        around = 0, 0, hop, 0 if count % hop else hop
        x = chunked(evened(x, self.chunk) if self.after_only else functional.pad(x, around), self.chunk)
        for block in self.blocks:
            x = block(x)
        before = 0 if self.after_only else hop
        logits = self.head(x, before + count)[:, :, before:]
        return logits.relu() if self.rectified else logits.sigmoid()
