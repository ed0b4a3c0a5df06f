"""One training loop for all models: what a task of a kind of model adds is how a batch becomes losses and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torchmetrics import MeanMetric

from avsep.errors import UsageError
from avsep.export.trained import HEADER
from avsep.models.base import Model, SeparationModel
from avsep.training.guard import stop_unless_finite, stop_unless_finite_gradient
from avsep.training.optimizers import Adam, OptimizerChoice
from avsep.training.schedules import Plateau, Schedule
from avsep.training.warm_start import StartFrom, begin_with

Batch = dict[str, Any]


class Task(lightning.LightningModule):
    """Trains a model; a subclass gives `losses` and `measure`.

    optimizer: `Adam` unless given. schedule: `Plateau` unless given. warm_start: parts of trained models to begin with.
    freeze: names of modules of the model that stay as they are: no gradients, and batch norms in evaluation mode.
    compile: let torch.compile fuse the model in training (needs a C++ compiler on a CPU).
    """

    monitor: ClassVar[str]
    """The validation metric that chooses the best checkpoint, higher is better."""

    metrics: ClassVar[tuple[str, ...]]
    """Names of what `measure` gives."""

    model: Model

    def __init__(
        self,
        model: Model,
        learning_rate: float,
        weight_decay: float,
        optimizer: OptimizerChoice | None = None,
        schedule: Schedule | None = None,
        warm_start: Sequence[StartFrom] | None = None,
        freeze: Sequence[str] | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        begin_with(model, warm_start or [])
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.optimizer, self.schedule = optimizer or Adam(), schedule or Plateau()
        self.frozen = [_module_to_freeze(model, name) for name in freeze or []]
        for module in self.frozen:
            module.requires_grad_(False).eval()
        if compile:
            for module in self.compiled_modules():
                # In place: the weights of a checkpoint have one name, compiled or not, and copies are not compiled.
                module.compile()
        self.means: Any = nn.ModuleDict({name: MeanMetric(nan_strategy="ignore") for name in self.metrics})
        self._last: tuple[Batch, Tensor] | None = None

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of each item (batch,), and numbers to log."""
        raise NotImplementedError

    def measure(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        """Of a batch in validation: all `metrics`, one value an item, NaN where an item has none, or the arguments of a
        metric that `means` has in place of a mean; and what callbacks get as the output of the step."""
        raise NotImplementedError

    def compiled_modules(self) -> list[nn.Module]:
        """What `losses` calls."""
        return [self.model]

    def train(self, mode: bool = True) -> Task:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def training_step(self, batch: Batch, index: int) -> Tensor:
        losses, logged = self.losses(batch)
        stop_unless_finite(losses, batch, self.model, self.global_step, self._folder)
        self._last = batch, losses.detach()
        loss = losses.mean()
        self.log_dict({"train_loss": loss, **logged}, prog_bar=True, batch_size=len(losses))
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.log("gradient_norm", norm)
        # With fp16 the scaler skips such a step and lowers its scale.
        precision = self.trainer.precision_plugin
        scaled = isinstance(precision, MixedPrecision) and precision.scaler is not None
        if self._last is not None and not scaled:
            stop_unless_finite_gradient(norm, *self._last, self.global_step, self._folder)

    def validation_step(self, batch: Batch, index: int) -> Any:
        # Batches of other sizes would be compiled anew, for minutes.
        with torch.compiler.set_stance("force_eager"):
            values, output = self.measure(batch)
        # Every process has every mean, NaN where its items have no value: each waits for the others' at the end.
        for name, mean in self.means.items():
            value = values[name]
            mean.update(*(value if isinstance(value, tuple) else (value,)))
            self.log(name, mean, prog_bar=name == self.monitor)
        return output

    def on_validation_end(self) -> None:
        value = self.trainer.callback_metrics.get(self.monitor)
        if value is not None and self.trainer.state.fn == "fit" and not self.trainer.sanity_checking:
            self.schedule.validated(self.lr_schedulers(), float(value))

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]
        if not trained and not list(self.parameters()):
            raise UsageError(
                f"{type(self.model).__name__} has no weights, so there is nothing to train; use it as it is (avsep "
                "models --all lists models with weights)"
            )
        if not trained:
            raise UsageError("freeze leaves nothing to train; name fewer modules")
        optimizer = self.optimizer.build(trained, self.learning_rate, self.weight_decay)
        entry = self.schedule.configure(optimizer, self.monitor, self.trainer.max_steps)
        return {"optimizer": optimizer, "lr_scheduler": entry}

    def configure_callbacks(self) -> list[Callback]:
        # One of the configuration's own has its say; Lightning would replace it.
        own = any(isinstance(c, EarlyStopping) for c in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if own else self.schedule.callbacks(self.monitor)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        header = {"class_path": self.model.class_path, "init_args": self.model.init_args}
        if isinstance(self.model, SeparationModel):
            header["level"] = self.model.contract.level
        checkpoint[HEADER] = header

    @property
    def is_logging(self) -> bool:
        """Whether numbers of this step reach the logs: what takes time need not be computed in others."""
        return self.global_step % self.trainer.log_every_n_steps == 0  # type: ignore[attr-defined]

    @property
    def _folder(self) -> Path:
        return Path(self.trainer.default_root_dir)


def _module_to_freeze(model: Model, name: str) -> nn.Module:
    modules = dict(model.named_modules())
    if name in modules and name:
        return modules[name]
    children = ", ".join(key for key, _ in model.named_children())
    raise UsageError(
        f"freeze names {name!r}, which {type(model).__name__} has not; it has {children}, and what is within them "
        "(separator.to_masks)"
    )
