"""How the learning rate falls and when a training ends."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR, ReduceLROnPlateau

from avsep.errors import UsageError


class Schedule:
    """What a task asks: the entry for Lightning's configure_optimizers, and callbacks of its own."""

    def configure(self, optimizer: Optimizer, monitor: str, max_steps: int) -> dict[str, Any]:
        """Lightning's lr_scheduler entry. monitor: name of the validation metric, higher is better; max_steps: of the
        trainer, -1 without a limit."""
        raise NotImplementedError

    def validated(self, scheduler: Any, value: float) -> None:
        """Called after each validation with the scheduler and the value of the metric."""

    def callbacks(self, monitor: str) -> list[Callback]:
        return []


class Plateau(Schedule):
    """The rate is halved after `halve_after` epochs without gain; the training ends after `stop_after` such epochs.

    Where there are several validations an epoch, they are counted instead. factor: what the rate is multiplied by in
    place of one half. hold: epochs at the beginning in which the rate stays.
    """

    def __init__(self, halve_after: int = 3, stop_after: int = 10, factor: float = 0.5, hold: int = 0) -> None:
        if halve_after < 1 or stop_after < 1:
            raise UsageError(f"halve_after is {halve_after} and stop_after {stop_after}; both must be 1 or more epochs")
        if hold < 0:
            raise UsageError(f"hold is {hold}; it must be 0 or more epochs")
        self.halve_after, self.stop_after, self.factor, self.hold = halve_after, stop_after, factor, hold

    def configure(self, optimizer: Optimizer, monitor: str, max_steps: int) -> dict[str, Any]:
        # torch's patience is the number of epochs that are forgiven: the next one lowers the rate.
        scheduler = ReduceLROnPlateau(optimizer, "max", self.factor, self.halve_after - 1, threshold=0.0)
        # In its cooldown a scheduler counts no epoch; it is part of the state that a checkpoint keeps.
        scheduler.cooldown_counter = self.hold
        # Lightning would step it too, but not in the epoch after a restart: it is left to `validated`.
        return {"scheduler": scheduler, "monitor": monitor, "frequency": sys.maxsize, "strict": False}

    def validated(self, scheduler: Any, value: float) -> None:
        scheduler.step(value)

    def callbacks(self, monitor: str) -> list[Callback]:
        return [
            EarlyStopping(
                monitor,
                patience=self.stop_after,
                mode="max",
                strict=False,
                check_finite=False,
                check_on_train_epoch_end=False,
            )
        ]


class WarmupCosine(Schedule):
    """The rate rises over `warmup` steps and falls along a cosine to `floor` of itself at the trainer's max_steps."""

    def __init__(self, warmup: int = 200, floor: float = 0.02) -> None:
        self.warmup, self.floor = warmup, floor

    def configure(self, optimizer: Optimizer, monitor: str, max_steps: int) -> dict[str, Any]:
        def rate(step: int) -> float:
            rise = min(1.0, (step + 1) / self.warmup) if self.warmup > 0 else 1.0
            if max_steps <= 0:
                return rise
            fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max_steps)))
            return rise * (self.floor + (1 - self.floor) * fall)

        return {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}


class Stepwise(Schedule):
    """The rate is that of the task times `factors[i]` from step `steps[i]` on, the steps rising."""

    def __init__(self, steps: Sequence[int], factors: Sequence[float]) -> None:
        if not steps or len(steps) != len(factors) or list(steps) != sorted(set(steps)) or min(steps) < 1:
            raise UsageError(
                f"Stepwise: steps are {list(steps)} and factors {list(factors)}; expected rising steps of 1 or more, "
                "and as many factors"
            )
        if min(factors) <= 0:
            raise UsageError(f"Stepwise: factors are {list(factors)}; they must be above 0")
        self.steps, self.factors = list(steps), [1.0, *factors]

    def configure(self, optimizer: Optimizer, monitor: str, max_steps: int) -> dict[str, Any]:
        def rate(step: int) -> float:
            return self.factors[bisect_right(self.steps, step)]

        return {"scheduler": LambdaLR(optimizer, rate), "interval": "step"}


class OneCycle(Schedule):
    """The rate rises to that of the task over the share `rise` of the trainer's max_steps and falls to almost nothing
    at their end; the momentum does the opposite (Smith and Topin, 2018)."""

    def __init__(self, rise: float = 0.3) -> None:
        if not 0 < rise < 1:
            raise UsageError(f"rise is {rise}; it must lie between 0 and 1")
        self.rise = rise

    def configure(self, optimizer: Optimizer, monitor: str, max_steps: int) -> dict[str, Any]:
        if max_steps <= 0:
            raise UsageError("the schedule OneCycle needs an end: set trainer.max_steps")
        peaks = [group["lr"] for group in optimizer.param_groups]
        scheduler = OneCycleLR(
            optimizer, peaks, max_steps, pct_start=self.rise, cycle_momentum="betas" in optimizer.defaults
        )
        return {"scheduler": scheduler, "interval": "step"}
