"""The training step of a separator, whatever its mode: audio-visual, audio-only, universal, many microphones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn

from avsep.losses import FixedOrder, PermutationInvariant
from avsep.models.base import SeparationModel
from avsep.training.gain import improvement
from avsep.training.guard import stop_unless_finite, stop_unless_finite_gradient
from avsep.training.optimizers import AdamForAll, Stepping
from avsep.training.schedules import Plateau, Schedule
from avsep.training.warm_start import StartFrom, warm_start

Batch = dict[str, Any]


class SeparationTask(lightning.LightningModule):
    """Trains any `SeparationModel`; its attributes say what it takes of a batch and in which order it answers.

    A batch holds mixture (batch, time) or (batch, channels, time), sources (batch, sources, time), with lips also lips
    (batch, faces, pictures, height, width), and name, a list. Channel 0 of several is the one that is estimated. A
    model with a condition (lips) gives the sources in the order of the faces, one without in any order.

    loss: one of avsep.losses (estimates, sources, mixture (batch, time)) -> (batch,); by default SNR with a floor, in
    that order or under the best permutation. stepping: `AdamForAll` by default. schedule: `Plateau` by default.
    start: parts of trained models to begin with. compile: let torch.compile fuse the model (needs a C++ compiler on a
    CPU).
    """

    monitor = "si_snri"
    """The validation metric that chooses the best checkpoint, higher is better."""

    def __init__(
        self,
        model: SeparationModel,
        loss: nn.Module | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        stepping: Stepping | None = None,
        schedule: Schedule | None = None,
        start: list[StartFrom] | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        warm_start(model, start or [])
        self.fixed_order = model.contract.order != "any"
        self.loss = loss or (FixedOrder() if self.fixed_order else PermutationInvariant())
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.stepping, self.schedule = stepping or AdamForAll(), schedule or Plateau()
        # Kept out of the module's children: the weights of a checkpoint have one name, compiled or not.
        object.__setattr__(self, "_run", torch.compile(model) if compile else model)
        self._seen: tuple[Batch, Tensor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy (averaged weights, another process) runs its own model, not the compiled one of the original.
        return super().__getstate__() | {"_run": self.model, "_seen": None}

    def separate(self, batch: Batch, run: Any = None) -> Tensor:
        """Estimates (batch, sources, time) in single precision."""
        mixture = batch["mixture"] if batch["mixture"].dim() == 3 else batch["mixture"].unsqueeze(1)
        cues = {name: batch[name] for name in self.model.contract.cues}
        return (self.model if run is None else run)(mixture, **cues).estimates[:, :, 0].float()

    def targets(self, batch: Batch, estimates: Tensor) -> tuple[Tensor, Tensor]:
        """Sources that the estimates stand against (batch, sources, time), and the mixture (batch, time)."""
        mixture, sources = batch["mixture"], batch["sources"]
        sources = sources[:, : estimates.shape[1]] if self.fixed_order else sources
        return sources, mixture[:, 0] if mixture.dim() == 3 else mixture

    def training_step(self, batch: Batch, index: int) -> Tensor:
        estimates = self.separate(batch, self._run)
        sources, mixture = self.targets(batch, estimates)
        losses = self.loss(estimates, sources, mixture)
        stop_unless_finite(losses, batch, self.model, self.global_step, self._folder)
        self._seen = batch, losses.detach()
        loss = losses.mean()
        self.log("train_loss", loss, prog_bar=True, batch_size=len(losses))
        if self.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            gain = improvement(estimates, sources, mixture, self.fixed_order).nanmean()
            self.log("train_si_snri", gain, prog_bar=True, batch_size=len(losses))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.log("gradient_norm", norm)
        # With fp16 the scaler skips such a step and lowers its scale.
        precision = self.trainer.precision_plugin
        scaled = isinstance(precision, MixedPrecision) and precision.scaler is not None
        if self._seen is not None and not scaled:
            stop_unless_finite_gradient(norm, *self._seen, self.global_step, self._folder)

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        estimates = self.separate(batch)
        sources, mixture = self.targets(batch, estimates)
        gains = improvement(estimates, sources, mixture, self.fixed_order)
        counted = int((~gains.isnan()).sum())
        if counted:
            self.log("si_snri", gains.nanmean(), prog_bar=True, batch_size=counted, sync_dist=True)
        losses = self.loss(estimates, sources, mixture)
        self.log("valid_loss", losses.mean(), batch_size=len(losses), sync_dist=True)
        return estimates

    def on_validation_end(self) -> None:
        value = self.trainer.callback_metrics.get(self.monitor)
        if value is not None and self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.schedule.validated(self.lr_schedulers(), float(value))

    def configure_optimizers(self) -> Any:
        optimizer = self.stepping.optimizer(self.parameters(), self.learning_rate, self.weight_decay)
        entry = self.schedule.configure(optimizer, self.monitor, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def configure_callbacks(self) -> list[Callback]:
        # One of the configuration's own has its say; Lightning would replace it.
        own = any(isinstance(c, EarlyStopping) for c in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if own else self.schedule.callbacks(self.monitor)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["avsep_model"] = {"class_path": self.model.class_path, "init_args": self.model.init_args}

    @property
    def _folder(self) -> Path:
        return Path(self.trainer.default_root_dir)
