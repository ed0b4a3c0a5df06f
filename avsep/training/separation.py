"""The training step of every separation model: of one channel or several, with cues or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from avsep.errors import UsageError
from avsep.losses import Objective, as_objective
from avsep.models.base import Output, SeparationModel
from avsep.training.gain import improvement
from avsep.training.optimizers import OptimizerChoice
from avsep.training.schedules import Schedule
from avsep.training.task import Batch, Task
from avsep.training.warm_start import StartFrom


class SeparationTask(Task):
    """Trains any `SeparationModel`; its contract says what it takes of a batch and in which order it answers.

    A batch holds mixture (batch, channels, time), sources (batch, sources, channels, time), name (a list), the cues
    under the names of the contract, for instance lips (batch, faces, pictures, height, width), and, for objectives that
    need them, labels (batch, sources). The model gets as many channels as it takes, the first ones. Where its estimates
    belong to cues, the first sources are theirs.

    objective: one of avsep.losses; a loss that is no objective is one on the estimates; by default SNR with a floor, in
    the order of the contract. The other arguments are those of `Task`.
    """

    model: SeparationModel
    monitor = "si_snri"
    metrics = ("si_snri", "valid_loss")

    def __init__(
        self,
        model: SeparationModel,
        objective: nn.Module | None = None,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        optimizer: OptimizerChoice | None = None,
        schedule: Schedule | None = None,
        warm_start: list[StartFrom] | None = None,
        freeze: list[str] | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay, optimizer, schedule, warm_start, freeze, compile)
        self.objective = as_objective(objective)
        for part in self.objective.modules():
            if isinstance(part, Objective):
                part.adapt(model.contract)
        if any(getattr(part, "level_free", False) for part in self.objective.modules()):
            model.contract = replace(model.contract, level="free")
        self.in_order = model.contract.order != "any"
        # Validation goes by what the model does in use.
        self.separates_otherwise = type(model).separate is not SeparationModel.separate

    def compiled_modules(self) -> list[nn.Module]:
        return self.model.compiled_modules()

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        mixture, cues = self.inputs(batch)
        output = self.model(mixture, **cues, **self.taught(batch))
        targets = self.targets(batch, output)
        losses = self.judge(output, targets)
        logged = {}
        if self.is_logging and output.estimates is not None:
            gain = improvement(output.estimates, targets, self.in_order).nanmean()
            if not gain.isnan():
                logged["train_si_snri"] = gain
        return losses, logged

    def measure(self, batch: Batch) -> tuple[dict[str, Tensor], Any]:
        """SI-SNRi and the loss of each item; estimates (batch, sources, channels, time)."""
        mixture, cues = self.inputs(batch)
        output = self.model(mixture, **cues)
        losses = self.judge(output, self.targets(batch, output))
        if self.separates_otherwise:
            output = self.model.separate(mixture, **cues)
        if output.estimates is None:
            raise UsageError(f"{self._name} gives no estimates, neither from forward nor from separate")
        gains = improvement(output.estimates, self.targets(batch, output), self.in_order)
        return {"si_snri": gains, "valid_loss": losses}, output.estimates

    def inputs(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mixture with as many channels as the model takes, and its cues. Raises UsageError where the batch has
        fewer, or lacks a cue."""
        mixture, (fewest, most) = batch["mixture"], self.model.contract.channels
        if mixture.dim() != 3 or mixture.shape[1] < fewest:
            raise UsageError(
                f"{self._name} takes mixtures (batch, channels, time) with {fewest} channels or more, and that of the "
                f"batch is {tuple(mixture.shape)}; take data with as many channels, or another model"
            )
        return mixture[:, :most], self.named(batch, self.model.contract.cues)

    def taught(self, batch: Batch) -> dict[str, Tensor]:
        """What the model is given in training only."""
        return self.named(batch, self.model.given_in_training)

    def named(self, batch: Batch, names: Sequence[str]) -> dict[str, Tensor]:
        """Those of a batch. Raises UsageError where it lacks one."""
        if missing := [name for name in names if name not in batch]:
            raise UsageError(
                f"{self._name} needs {', '.join(missing)}, and a batch holds {', '.join(batch)}; take data with "
                "it, or a model that does without"
            )
        return {name: batch[name] for name in names}

    def targets(self, batch: Batch, output: Output) -> Batch:
        """The batch, its mixture and sources as the output is to be held against them."""
        most = self.model.contract.channels[1]
        fitting = batch | {"mixture": batch["mixture"][:, :most], "sources": batch["sources"][:, :, :most]}
        given = output.estimates if output.estimates is not None else output.masks
        if self.model.contract.order == "cue" and given is not None:
            fitting |= {name: fitting[name][:, : given.shape[1]] for name in ("sources", "labels") if name in fitting}
        return fitting

    def judge(self, output: Output, targets: Batch) -> Tensor:
        """The objective (batch,). Raises UsageError naming the model where the two do not go together."""
        try:
            return self.objective(output, targets)
        except (UsageError, ValueError) as error:
            raise UsageError(f"{self._name} with {type(self.objective).__name__}: {error}") from error

    @property
    def _name(self) -> str:
        return type(self.model).__name__
