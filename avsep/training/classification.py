"""The training step of sound classifiers: which classes sound in each patch of a clip."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision
from torchmetrics.utilities import dim_zero_cat

from avsep.data.labelled import BETWEEN
from avsep.errors import UsageError
from avsep.models.sound_classifier import SILENCE, SoundClassifier
from avsep.training.optimizers import AdamW, OptimizerChoice
from avsep.training.schedules import OneCycle, Schedule
from avsep.training.task import Batch, Task
from avsep.training.warm_start import StartFrom

LEAST_SHARE = 0.05
"""Of the frames of a patch: with so many that sound, the patch has the labels of its clip."""
SILENT_POWER = 1e-7
"""-70 dB against full scale: what is below is silent, whatever the rest of the clip."""


class MeanAveragePrecision(MultilabelAveragePrecision):
    """Mean over the classes that occur; torchmetrics counts the others as 0."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, average="none")

    def compute(self) -> Tensor:
        occur = dim_zero_cat(self.target).sum(0) > 0
        return super().compute()[occur].mean()


class ClassificationTask(Task):
    """Binary cross-entropy of each class in each patch.

    A batch holds waveform (batch, time), labels (a list of names joined by ";"), name, and as clean (batch, time) the
    waveform without its noise where there is one (`avsep.data.labelled`). The labels are those of a whole clip: a patch
    that is silent in clean has none of them but "silence", if the model has that class.

    mixup: alpha of the Beta distribution of the weights with which two clips of a batch, made equally loud, and their
    labels are mixed (Zhang et al., 2018); 0 for none. p_mixup: probability of it. silence_db: how far below the loudest
    frame of its clip a frame is silent. optimizer: `AdamW` unless given. schedule: `OneCycle` over the trainer's
    max_steps unless given. The other arguments are those of `Task`.
    """

    model: SoundClassifier
    monitor = "accuracy"
    metrics = ("accuracy", "balanced_accuracy", "map", "valid_loss")
    """Share of the clips with one label that are given it; the mean of the classes' shares; the mean over classes of
    the average precision; the loss."""

    def __init__(
        self,
        model: SoundClassifier,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.02,
        mixup: float = 0.0,
        p_mixup: float = 0.5,
        silence_db: float = 50.0,
        optimizer: OptimizerChoice | None = None,
        schedule: Schedule | None = None,
        warm_start: list[StartFrom] | None = None,
        freeze: list[str] | None = None,
        compile: bool = False,
    ) -> None:
        if mixup < 0 or not 0 <= p_mixup <= 1:
            raise UsageError(f"mixup is {mixup} and p_mixup {p_mixup}; they must be 0 or more, and within 0 to 1")
        optimizer, schedule = optimizer or AdamW(), schedule or OneCycle()
        super().__init__(model, learning_rate, weight_decay, optimizer, schedule, warm_start, freeze, compile)
        self.mixup, self.p_mixup, self.silence_db = mixup, p_mixup, silence_db
        self.columns = {name: number for number, name in enumerate(model.names)}
        classes = len(model.names)
        self.means = nn.ModuleDict(
            {
                "accuracy": MeanMetric(nan_strategy="ignore"),
                "balanced_accuracy": MulticlassAccuracy(classes, average="macro", ignore_index=-1),
                "map": MeanAveragePrecision(classes),
                "valid_loss": MeanMetric(nan_strategy="ignore"),
            }
        )

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        waveform, labels, sounding = self.inputs(batch)
        weight = torch.ones(len(waveform), 1, device=waveform.device)
        if self.mixup > 0 and len(waveform) > 1:
            weight = self._weights(weight)
            level = waveform.square().mean(1, keepdim=True).sqrt() + 1e-6
            other = waveform.roll(1, 0) * (level / level.roll(1, 0))
            waveform = weight * waveform + (1 - weight) * other
        targets = self.targets(labels, sounding, weight)
        return self._cross_entropy(waveform, targets), {}

    def measure(self, batch: Batch) -> tuple[dict[str, Any], Any]:
        waveform, labels, sounding = self.inputs(batch)
        loss = self._cross_entropy(waveform, self.targets(labels, sounding, torch.ones_like(waveform[:, :1])))
        p = self.model.probabilities(waveform)
        one = labels.sum(1) == 1
        found, wanted = p.argmax(1), labels.argmax(1)
        accuracy = (found == wanted).float().masked_fill(~one, torch.nan)
        values = {
            "accuracy": accuracy,
            "balanced_accuracy": (found, wanted.masked_fill(~one, -1)),
            "map": (p, labels.long()),
            "valid_loss": loss,
        }
        return values, None

    def inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """waveform (batch, time), labels (batch, classes) of 0 and 1, and which patches sound (batch, frames).

        Raises UsageError for a batch of another kind, and for a label that the model has no class of.
        """
        if missing := [name for name in ("waveform", "labels") if name not in batch]:
            raise UsageError(
                f"ClassificationTask needs {', '.join(missing)}, and a batch holds {', '.join(batch)}; take data of "
                "avsep.data.labelled"
            )
        waveform = batch["waveform"]
        labels = waveform.new_zeros(len(waveform), len(self.columns))
        for row, names in enumerate(batch["labels"]):
            for name in filter(None, names.split(BETWEEN)):
                if name not in self.columns:
                    raise UsageError(
                        f"item {batch['name'][row]} is labelled {name!r}, and the model has no such class; it has "
                        f"{', '.join(self.columns)}. Set its names to those of the data"
                    )
                labels[row, self.columns[name]] = 1
        clean = batch.get("clean")
        return waveform, labels, self.sounding(waveform if clean is None else clean)

    def sounding(self, clean: Tensor) -> Tensor:
        """(batch, time) -> which of the patches that the model judges in training sound: (batch, frames), 0 or 1."""
        hop, patch, step = self.model.hop, self.model.patch, self.model.step
        # A frame lies around its sample.
        around = F.pad(clean.float().square(), (hop // 2, hop - hop // 2 + hop * -(-clean.shape[1] // hop)))
        power = F.avg_pool1d(around[:, None], hop)[..., : 1 + clean.shape[1] // hop]
        loudest = power.amax(2, keepdim=True) * 10 ** (-self.silence_db / 10)
        active = (power > loudest.clamp(min=SILENT_POWER)).float()
        share = F.avg_pool1d(F.pad(active, (patch // 2, (patch - 1) // 2)), patch, step)
        return (share[:, 0] >= LEAST_SHARE).float()

    def targets(self, labels: Tensor, sounding: Tensor, weight: Tensor) -> Tensor:
        """(batch, frames, classes) in 0..1 of clips that have a weight (batch, 1) against the clips before them, where
        those sound too."""
        own, other = weight * sounding, (1 - weight) * sounding.roll(1, 0)
        both = own + other
        share = (own / both.clamp(min=1e-6))[..., None]
        targets = share * labels[:, None] + (1 - share) * labels.roll(1, 0)[:, None]
        targets = targets * (both > 0)[..., None]
        if SILENCE in self.columns:
            targets[..., self.columns[SILENCE]] = (both <= 0).to(targets.dtype)
        return targets

    def _weights(self, ones: Tensor) -> Tensor:
        """Of mixup: (batch, 1), 1 for clips that stay as they are."""
        drawn = torch.distributions.Beta(self.mixup, self.mixup).sample(ones.shape).to(ones)
        return torch.where(torch.rand_like(ones) < self.p_mixup, drawn, ones)

    def _cross_entropy(self, waveform: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(waveform, every_frame=False).float()
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean((1, 2))
