"""The training step of a separator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from avsep.losses import pit_snr_loss
from avsep.metrics import si_sdr
from avsep.models.base import SeparationModel


def mean_improvement(estimates: np.ndarray, sources: np.ndarray, mixture: np.ndarray) -> float:
    """SI-SDRi in dB under the best permutation: estimates and sources (batch, sources, time), mixture (batch, time)."""
    pairs = si_sdr(estimates[:, :, None], sources[:, None])
    index = np.arange(sources.shape[1])
    best = np.max([pairs[:, list(p), index].mean(1) for p in itertools.permutations(index)], axis=0)
    return float((best - si_sdr(mixture[:, None], sources).mean(1)).mean())


class SeparationTask(lightning.LightningModule):
    """Trains a model with permutation-invariant SNR.

    learning_rate rises over `warmup` steps and falls along a cosine to a fiftieth at the trainer's max_steps.
    compile: let torch.compile fuse the model (needs a C++ compiler on a CPU).
    """

    _run: Callable[[Tensor], Tensor]

    def __init__(
        self, model: SeparationModel, learning_rate: float = 1e-3, warmup: int = 200, compile: bool = False
    ) -> None:
        super().__init__()
        self.model = model
        self.learning_rate, self.warmup = learning_rate, warmup
        # Kept out of the module's children: the weights of a checkpoint have one name, compiled or not.
        object.__setattr__(self, "_run", torch.compile(model) if compile else model)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        estimates = self._run(batch["mixture"]).float()
        loss = pit_snr_loss(estimates, batch["sources"], batch["mixture"]).mean()
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        estimates = self.model(batch["mixture"]).float()
        gain = mean_improvement(estimates.cpu().numpy(), batch["sources"].cpu().numpy(), batch["mixture"].cpu().numpy())
        self.log("si_sdr_i", gain, prog_bar=True, batch_size=len(estimates))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.model.parameters(), self.learning_rate)
        steps = self.trainer.max_steps

        def rate(step: int) -> float:
            rise = min(1.0, (step + 1) / self.warmup)
            if steps <= 0:
                return rise
            return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
