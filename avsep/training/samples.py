"""A few validation items to listen to and look at in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning
import matplotlib
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

RANGE_DB = 70.0
"""What a spectrogram shows below its loudest point."""


class ValidationSamples(Callback):
    """Sound and spectrograms of the first `items` items of each validation; a picture shows the mixture, the sources
    and the estimates from top to bottom, 0 to half the sampling rate each.

    Of several channels the first is taken. Mixture and sources are written once, the estimates each time. Does
    nothing without a TensorBoard logger, or for tasks whose validation step returns no estimates
    (batch, sources, channels, time).
    """

    def __init__(self, items: int = 3) -> None:
        self.items = items
        self._known = False

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if batch_idx or trainer.sanity_checking or not boards or not isinstance(outputs, Tensor):
            return
        task: Any = pl_module
        for number in range(min(self.items, len(outputs))):
            fixed = {"mixture": batch["mixture"][number, 0]}
            fixed |= {f"source_{i}": source for i, source in enumerate(batch["sources"][number, :, 0])}
            made = {f"estimate_{i}": estimate for i, estimate in enumerate(outputs[number, :, 0])}
            picture = spectrograms(torch.stack([*fixed.values(), *made.values()]).float().cpu())
            for board in boards:
                writer, step = board.experiment, trainer.global_step
                writer.add_image(f"validation_{number}", picture, step, dataformats="HWC")
                for name, sound in (made if self._known else fixed | made).items():
                    loud = sound.float().abs().max().clamp_min(1.0)
                    writer.add_audio(
                        f"validation_{number}/{name}",
                        (sound.float() / loud).cpu(),
                        step,
                        task.model.contract.sample_rate,
                    )
        self._known = True


def spectrograms(sounds: Tensor) -> np.ndarray:
    """Spectrograms one below the other, on one scale: (sounds, time) -> (height, width, 3) in 0..1.

    A colour map alone: a figure with axes would take longer than the validation of a small model.
    """
    spectra = torch.stft(sounds, 512, 128, window=torch.hann_window(512), pad_mode="constant", return_complex=True)
    level = 20 * spectra.abs().clamp_min(1e-6).log10()
    shade = ((level - level.max()) / RANGE_DB + 1).clamp(0, 1).flip(1)
    rows = matplotlib.colormaps["magma"](shade.numpy())[..., :3]
    # A white line between two of them.
    return np.pad(rows, ((0, 0), (0, 4), (0, 0), (0, 0)), constant_values=1.0).reshape(-1, *rows.shape[2:])
