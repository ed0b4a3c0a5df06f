"""The training step of lip-voice synchrony: contrast over a batch and over time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avsep.errors import UsageError
from avsep.models.synchrony import Synchrony
from avsep.training.optimizers import AdamW, OptimizerChoice
from avsep.training.schedules import OneCycle, Schedule
from avsep.training.task import Batch, Task
from avsep.training.warm_start import StartFrom


def centred(x: Tensor) -> Tensor:
    """Free of its mean over time and of unit length: (batch, pictures, channels) -> (batch, pictures * channels)."""
    return F.normalize((x - x.mean(1, keepdim=True)).flatten(1), dim=1)


class SynchronyTask(Task):
    """Symmetric InfoNCE over the batch (van den Oord et al., 2018), the own sound at another time being one more
    wrong answer.

    A batch holds lips (batch, pictures, height, width), audio (batch, time) of the same stretch and, as shifted, the
    same voice at another time. optimizer: `AdamW` unless given. schedule: `OneCycle` over the trainer's max_steps
    unless given. The other arguments are those of `Task`.
    """

    model: Synchrony
    monitor = "two_way"
    metrics = ("two_way", "against_shift", "own")
    """How often another voice, and the shifted own one, fit a face less than its own voice; the own correlation."""

    def __init__(
        self,
        model: Synchrony,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.02,
        optimizer: OptimizerChoice | None = None,
        schedule: Schedule | None = None,
        warm_start: list[StartFrom] | None = None,
        freeze: list[str] | None = None,
        compile: bool = False,
    ) -> None:
        optimizer, schedule = optimizer or AdamW(), schedule or OneCycle()
        super().__init__(model, learning_rate, weight_decay, optimizer, schedule, warm_start, freeze, compile)
        self.scale = nn.Parameter(torch.tensor(12.0).log())

    def compiled_modules(self) -> list[nn.Module]:
        return [self.model.lips, self.model.voice]

    def similarity(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Correlations (batch, batch) of every face with every voice, and (batch,) with the own voice shifted."""
        if missing := [name for name in ("lips", "audio", "shifted") if name not in batch]:
            raise UsageError(
                f"SynchronyTask needs {', '.join(missing)}, and a batch holds {', '.join(batch)}; take data of "
                "avsep.data.talking"
            )
        face = centred(self.model.lips(batch["lips"]))
        voice, moved = (centred(self.model.voice(batch[k])) for k in ("audio", "shifted"))
        return face @ voice.T, (face * moved).sum(1)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        pairs, moved = self.similarity(batch)
        scale = self.scale.exp().clamp(max=60)
        target = torch.arange(len(pairs), device=pairs.device)
        by_face = F.cross_entropy(scale * torch.cat([pairs, moved[:, None]], 1), target, reduction="none")
        by_voice = F.cross_entropy(scale * pairs.T, target, reduction="none")
        return (by_face + by_voice) / 2, {"train_right": (pairs.argmax(1) == target).float().mean()}

    def measure(self, batch: Batch) -> tuple[dict[str, Tensor], Any]:
        pairs, moved = self.similarity(batch)
        own = pairs.diagonal()
        # A batch of one has no other voices: 0 / 0.
        better = (own[:, None] > pairs).float().sum(1) / (len(own) - 1)
        return {"two_way": better, "against_shift": (own > moved).float(), "own": own}, None
