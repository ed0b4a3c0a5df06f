"""What turns gradients into steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Adam, Optimizer

from avsep.errors import UsageError


class Stepping:
    """What a task asks: an optimizer for its parameters."""

    def optimizer(self, parameters: Iterable[Parameter], rate: float, decay: float) -> Optimizer:
        """rate: learning rate; decay: weight decay."""
        raise NotImplementedError


class AdamForAll(Stepping):
    """Adam (Kingma and Ba, 2015)."""

    def optimizer(self, parameters: Iterable[Parameter], rate: float, decay: float) -> Optimizer:
        return Adam(parameters, rate, weight_decay=decay)


class MuonForMatrices(Stepping):
    """Muon (Jordan et al., 2024) for all matrices, that is, for 1x1 convolutions, and Adam for the rest.

    A matrix moves by its momentum made orthogonal, so that no direction is left behind. In 500 steps from nothing, the
    sizes of the bundled weights came to 2.1 dB of SI-SNRi with it and to 1.5 dB with Adam (one run each). factor: the
    matrices' learning rate against the rest's. Muon's step is scaled to the size of Adam's (Liu et al., Muon is
    scalable for LLM training, 2025).
    """

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor

    def optimizer(self, parameters: Iterable[Parameter], rate: float, decay: float) -> Optimizer:
        if not hasattr(torch.optim, "Muon"):
            raise UsageError(f"MuonForMatrices: torch {torch.__version__} has no Muon; it comes with torch 2.9")
        chosen = [p for p in parameters if p.requires_grad]
        parts: list[Optimizer] = []
        if matrices := [p for p in chosen if p.dim() == 2]:
            muon = torch.optim.Muon(matrices, self.factor * rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
            parts.append(muon)
        if rest := [p for p in chosen if p.dim() != 2]:
            parts.append(Adam(rest, rate, weight_decay=decay))
        return Joint(parts)


class Joint(Optimizer):
    """Several optimizers that the training loop, the schedule and the checkpoint see as one."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
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
