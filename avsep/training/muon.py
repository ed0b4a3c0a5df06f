"""Muon (Jordan et al., 2024), in the precision that the device computes fast.

torch.optim.Muon makes its matrices orthogonal in bfloat16 whatever the device. A processor without instructions for
bfloat16 takes longer for that than for all else of a training step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

MOMENTUM = 0.95
STEPS = 5
POLYNOMIAL = 3.4445, -4.7750, 2.0315
"""Of the Newton-Schulz iteration that brings singular values near 1, those of Jordan et al."""


class Muon(torch.optim.Optimizer):
    """For matrices only: each moves by its Nesterov momentum made orthogonal, scaled to the size of an Adam step.

    The scale: Liu et al., Muon is scalable for LLM training (2025). decay: of the weights, decoupled.
    """

    def __init__(self, matrices: Iterable[Parameter], rate: float, decay: float = 0.0) -> None:
        super().__init__(matrices, {"lr": rate, "weight_decay": decay})
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.dim() != 2:
                    raise ValueError(f"a parameter of shape {tuple(matrix.shape)}; Muon moves matrices only")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix.grad)
                momentum = state["momentum_buffer"].lerp_(matrix.grad, 1 - MOMENTUM)
                update = orthogonal(matrix.grad.lerp(momentum, MOMENTUM))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-0.2 * math.sqrt(max(matrix.shape)) * group["lr"])
        return loss


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with all its singular values between about 0.7 and 1.2; bfloat16 on a GPU, else of its own type."""
    x = matrix.bfloat16() if matrix.is_cuda else matrix
    turned = x.shape[0] > x.shape[1]
    x = x.mT if turned else x
    x = x / x.norm().clamp_min(1e-7)
    a, b, c = POLYNOMIAL
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if turned else x
