"""The loss of vectors that tell of speakers (Wavesplit; Zeghidour and Grangier, 2020)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.objective import Batch, Objective, needed
from avsep.models.base import Output


class OnSpeakerVectors(Objective):
    """Cross-entropy of the speaker of each source at every frame, against all speakers of the training data, in nats
    (the paper's global classification loss).

    It takes the model's logits "speaker" (batch, sources, frames, speakers), which are in the order of the batch's
    labels (batch, sources): the model chose the best permutation of its vectors at every frame. Sources without a label
    (-1) count nothing. In validation, whose speakers the model was not trained on, there are no such logits, and the
    loss is 0.
    """

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """-> (batch,)."""
        if not self.training and "speaker" not in output.logits:
            return batch["mixture"].new_zeros(len(batch["mixture"]))
        found = needed(output, "logits", self)
        if "speaker" not in found:
            raise UsageError(f"OnSpeakerVectors: the model gives no logits 'speaker'; it gives {', '.join(found)}")
        logits = full_precision(found["speaker"])
        labels = batch["labels"][:, :, None].expand(logits.shape[:3])
        losses = functional.cross_entropy(logits.flatten(0, 2), labels.flatten(), ignore_index=-1, reduction="none")
        return losses.view_as(labels).mean(2).sum(1) / (batch["labels"] >= 0).sum(1).clamp_min(1)
