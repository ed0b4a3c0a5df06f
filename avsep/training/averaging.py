"""Averaged weights (EMA) as an option: validated, kept as the best, exported."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import EMAWeightAveraging


class AveragedWeights(EMAWeightAveraging):
    """Exponential moving average of the weights over optimizer steps.

    Validation runs with the average, and checkpoints hold it as their weights, those of the last step beside it. decay:
    share of the old average at each step.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__(decay=decay)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep both: Lightning's callback would overwrite the last step's weights, and with them an exact resume."""
