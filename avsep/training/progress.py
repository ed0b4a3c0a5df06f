"""What a training shows: a bar with SI-SNRi on a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

TITLES = {"si_snri": "SI-SNRi", "train_si_snri": "train SI-SNRi", "train_loss": "loss"}
"""Names of metrics as people read them; SI-SNRi is in dB."""


class Bar(TQDMProgressBar):
    """Lightning's bar on stderr, with the metrics under their common names."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        shown = {k: v for k, v in super().get_metrics(trainer, pl_module).items() if k != "v_num"}
        return {
            TITLES.get(key, key): f"{value:.2f}" if isinstance(value, float) else value for key, value in shown.items()
        }

    # Lightning's bars go to sys.stdout, where results belong.

    def init_train_tqdm(self) -> Tqdm:
        with redirect_stdout(sys.stderr):
            return super().init_train_tqdm()

    def init_validation_tqdm(self) -> Tqdm:
        with redirect_stdout(sys.stderr):
            return super().init_validation_tqdm()

    def init_sanity_tqdm(self) -> Tqdm:
        with redirect_stdout(sys.stderr):
            return super().init_sanity_tqdm()


class EpochLines(Callback):
    """One line after each validation, through `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items()}
        values = ", ".join(f"{TITLES.get(k, k)} {v:.2f}" for k, v in metrics.items() if k != "gradient_norm")
        self.say(f"epoch {trainer.current_epoch}, step {trainer.global_step}: {values}")
