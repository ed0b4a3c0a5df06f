"""Stops a training whose numbers are no longer finite, keeps the batch and says which items did it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avsep.errors import TrainingError
from avsep.storage.files import write_whole

NAMES_SHOWN = 5
"""Longer lists of items are cut; the saved file has them all."""


def stop_unless_finite(losses: Tensor, batch: dict[str, Any], model: nn.Module, step: int, folder: Path) -> None:
    """Raise TrainingError when a loss (batch,) is NaN or infinite; the batch then lies in `folder`/not_finite_*.pt."""
    if losses.isfinite().all():
        return
    affected = (~losses.isfinite()).nonzero().flatten().tolist()
    names = names_of(batch, len(losses))
    file = save_batch(batch, losses, step, folder)
    shown = ", ".join(names[i] for i in affected[:NAMES_SHOWN])
    more = f" and {len(affected) - NAMES_SHOWN} more" if len(affected) > NAMES_SHOWN else ""
    raise TrainingError(
        f"the loss is not a finite number at step {step}, in {len(affected)} of {len(losses)} items of the batch: "
        f"{shown}{more}. {cause(batch, affected, names, model)} The batch is saved in {file}"
    )


def stop_unless_finite_gradient(norm: Tensor, batch: dict[str, Any], losses: Tensor, step: int, folder: Path) -> None:
    """The same for the norm of the gradient of a step in which every loss was finite."""
    if norm.isfinite():
        return
    file = save_batch(batch, losses, step, folder)
    shown = ", ".join(names_of(batch, len(losses))[:NAMES_SHOWN])
    raise TrainingError(
        f"the gradient is not finite at step {step}, though the loss is; the batch begins with {shown}. "
        f"Look for a division or root of zero in the loss, lower the learning rate or take trainer.precision 32-true, "
        f"and go on with --ckpt_path last. The batch is saved in {file}"
    )


def names_of(batch: dict[str, Any], items: int) -> list[str]:
    """What the data set calls the items, or their numbers in the batch."""
    return [str(name) for name in batch.get("name", [f"number {i}" for i in range(items)])]


def cause(batch: dict[str, Any], affected: list[int], names: list[str], model: nn.Module) -> str:
    """One sentence: bad input, bad weights, or numbers that grew too large; and what to do."""
    for key, value in batch.items():
        if isinstance(value, Tensor) and value.is_floating_point() and value.dim() and len(value) == len(names):
            bad = [i for i in affected if not value[i].isfinite().all()]
            if bad:
                return (
                    f"The {key} of {names[bad[0]]} holds NaN or infinity: look at the files of that item, "
                    f"then go on with --ckpt_path last."
                )
    if not all(p.isfinite().all() for p in model.parameters()):
        return (
            "The weights are not finite, so an earlier step went wrong: lower the learning rate "
            "and go on with --ckpt_path last."
        )
    return (
        "Input and weights are finite, so the numbers grew too large between them: lower the learning rate, "
        "or take trainer.precision 32-true, and go on with --ckpt_path last."
    )


def save_batch(batch: dict[str, Any], losses: Tensor, step: int, folder: Path) -> Path:
    """The batch and its losses as a file of torch.save (plain tensors and text); whole or not at all."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    file = folder / f"not_finite_step{step}_rank{rank}.pt"
    kept = {k: v.detach().cpu() if isinstance(v, Tensor) else v for k, v in batch.items()}
    content = {"batch": kept, "losses": losses.detach().cpu(), "step": step}
    write_whole(file, lambda partial: torch.save(content, partial))
    return file
