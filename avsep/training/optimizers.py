"""Which optimizer a task trains with. The learning rate and the weight decay are the task's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.nn import Parameter

from avsep.training.muon import Muon


class OptimizerChoice:
    """Makes the optimizer of a task."""

    def build(self, parameters: Iterable[Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
        """parameters: those that are trained; rate: learning rate; decay: weight decay."""
        raise NotImplementedError


class Adam(OptimizerChoice):
    """Adam (Kingma and Ba, 2015)."""

    def build(self, parameters: Iterable[Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, rate, weight_decay=decay)


class AdamW(OptimizerChoice):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    def build(self, parameters: Iterable[Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, rate, weight_decay=decay)


class MuonAdam(OptimizerChoice):
    """Muon (Jordan et al., 2024) for all matrices, that is, for 1x1 convolutions, and Adam for the rest.

    A matrix moves by its momentum made orthogonal, so that no direction is left behind. In 500 steps from nothing, the
    sizes of the bundled weights came to 2.1 dB of SI-SNRi with it and to 1.5 dB with Adam (one run each). factor: the
    matrices' learning rate against the rest's.
    """

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def build(self, parameters: Iterable[Parameter], rate: float, decay: float) -> torch.optim.Optimizer:
        matrices: list[Parameter] = []
        rest: list[Parameter] = []
        for parameter in parameters:
            (matrices if parameter.dim() == 2 else rest).append(parameter)
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            parts.append(Muon(matrices, self.factor * rate, decay))
        if rest:
            parts.append(torch.optim.Adam(rest, rate, weight_decay=decay))
        return CompositeOptimizer(parts)


class CompositeOptimizer(torch.optim.Optimizer):
    """Several optimizers that the training loop, the schedule and the checkpoint treat as one."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        # The very groups of the parts: a rate that is set here is set there.
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
