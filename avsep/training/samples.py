"""A few validation items to listen to and look at in TensorBoard."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from torch import Tensor

RANGE_DB = 70.0
"""What a spectrogram shows below its loudest point."""


class ValidationSamples(Callback):
    """Sound and spectrograms of the first `items` items of each validation: mixture, sources, estimates.

    Mixture and sources are written once, the estimates each time. Does nothing without a TensorBoard logger, or for
    tasks whose validation step returns no estimates.
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
        rate = getattr(getattr(pl_module, "model", None), "sample_rate", 16000)
        for number in range(min(self.items, len(outputs))):
            mixture = batch["mixture"][number]
            fixed = {"mixture": mixture[0] if mixture.dim() == 2 else mixture}
            fixed |= {f"source_{i}": source for i, source in enumerate(batch["sources"][number])}
            made = {f"estimate_{i}": estimate for i, estimate in enumerate(outputs[number])}
            picture = spectrograms({k: v.float().cpu().numpy() for k, v in (fixed | made).items()}, rate)
            for board in boards:
                writer, step = board.experiment, trainer.global_step
                writer.add_figure(f"validation_{number}", picture, step)
                for name, sound in (made if self._known else fixed | made).items():
                    loud = sound.float().abs().max().clamp_min(1.0)
                    writer.add_audio(f"validation_{number}/{name}", (sound.float() / loud).cpu(), step, rate)
        self._known = True


def spectrograms(sounds: dict[str, np.ndarray], rate: int) -> Figure:
    """One spectrogram below the other, on one scale: name -> (time,)."""
    figure = Figure(figsize=(8, 1.5 * len(sounds)), layout="constrained")
    axes = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    levels = {name: _level(sound) for name, sound in sounds.items()}
    top = max(float(level.max()) for level in levels.values())
    for axis, (name, level) in zip(axes, levels.items(), strict=True):
        seconds = len(sounds[name]) / rate
        axis.imshow(
            level,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, rate / 2000),
            vmin=top - RANGE_DB,
            vmax=top,
            cmap="magma",
        )
        axis.set_ylabel("kHz")
        axis.set_title(name, fontsize="small", loc="left")
    axes[-1].set_xlabel("seconds")
    return figure


def _level(sound: np.ndarray) -> np.ndarray:
    """Magnitudes in dB: (time,) -> (frequencies, frames)."""
    spectrum = torch.stft(
        torch.from_numpy(sound), 512, 128, window=torch.hann_window(512), center=True, return_complex=True
    )
    return (20 * spectrum.abs().clamp_min(1e-6).log10()).numpy()
