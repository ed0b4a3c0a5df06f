"""The training step of lip-voice synchrony: contrast over a batch and over time."""

from __future__ import annotations

from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from avsep.models.synchrony import Synchrony


def centred(x: Tensor) -> Tensor:
    """Free of its mean over time and of unit length: (batch, pictures, channels) -> (batch, pictures * channels)."""
    return F.normalize((x - x.mean(1, keepdim=True)).flatten(1), dim=1)


class SynchronyTask(lightning.LightningModule):
    """Symmetric InfoNCE over the batch (van den Oord et al., 2018), the own sound at another time being one more
    wrong answer.

    One-cycle schedule over the trainer's max_steps up to `learning_rate`.
    """

    def __init__(self, model: Synchrony, learning_rate: float = 2e-3, weight_decay: float = 0.02) -> None:
        super().__init__()
        self.model = model
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.scale = torch.nn.Parameter(torch.tensor(12.0).log())

    def similarity(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Correlations (batch, batch) of every face with every voice, and (batch,) with the own voice shifted."""
        seen = centred(self.model.lips(batch["lips"]))
        heard, moved = (centred(self.model.voice(batch[k])) for k in ("audio", "shifted"))
        return seen @ heard.T, (seen * moved).sum(1)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        pairs, moved = self.similarity(batch)
        scale = self.scale.exp().clamp(max=60)
        target = torch.arange(len(pairs), device=pairs.device)
        by_face = F.cross_entropy(scale * torch.cat([pairs, moved[:, None]], 1), target)
        loss = (by_face + F.cross_entropy(scale * pairs.T, target)) / 2
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_right", (pairs.argmax(1) == target).float().mean(), prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        pairs, moved = self.similarity(batch)
        own = pairs.diagonal()
        self.log("two_way", (own[:, None] > pairs).float().sum() / (pairs.numel() - len(own)), prog_bar=True)
        self.log("against_shift", (own > moved).float().mean(), prog_bar=True)
        self.log("own", own.mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
