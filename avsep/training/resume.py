"""Going on exactly where a run was stopped: the checkpoint for it, random numbers by step, and what fits to what."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from avsep.errors import UsageError
from avsep.export.trained import HEADER
from avsep.safe_text import first_line

LAST = "last.ckpt"


class ResumeCheckpoint(Checkpoint):
    """Writes `folder`/last.ckpt every `every_n_steps` optimizer steps and at the end of the training.

    It does so before the next batch, when all that follows a step or an epoch is done (validation, learning rate, early
    stopping), and never between accumulated gradients: only then nothing is lost or done twice after a restart.
    """

    def __init__(self, folder: Path, every_n_steps: int = 500) -> None:
        if every_n_steps < 1:
            raise UsageError(f"checkpoint_every is {every_n_steps}; it must be 1 or more optimizer steps")
        self.folder, self.every_n_steps = folder, every_n_steps
        self._saved = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._saved = trainer.global_step

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        between = batch_idx % trainer.accumulate_grad_batches != 0
        if step > self._saved and step // self.every_n_steps > self._saved // self.every_n_steps and not between:
            self._save(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.global_step > self._saved:
            self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        self._saved = trainer.global_step
        trainer.save_checkpoint(self.folder / LAST)


class StepSeed(Callback):
    """Random numbers of a batch come from (seed, rank, step, batch), so that an interruption does not change them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        sequence = np.random.SeedSequence((self.seed, trainer.global_rank, trainer.global_step, batch_idx))
        number = int(sequence.generate_state(1)[0])
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002 - for libraries that still draw from it
        torch.manual_seed(number)


def find_checkpoint(name: str, folder: Path) -> Path | None:
    """The file that --ckpt_path names. "last" is `folder`/last.ckpt, or None where nothing was saved yet."""
    if name == "last":
        return folder / LAST if (folder / LAST).is_file() else None
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"--ckpt_path: no file {path}. Give a .ckpt file, or 'last' for {folder / LAST}")
    return path


def check_checkpoint(path: Path, task: lightning.LightningModule) -> None:
    """Raise UsageError unless the weights in a checkpoint have the names and shapes of those of `task`."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        saved = checkpoint["state_dict"]
    except Exception as error:
        raise UsageError(
            f"{path} cannot be read as a training checkpoint ({first_line(error)}). Give a .ckpt file that avsep fit"
            " wrote"
        ) from error
    expected = task.state_dict()
    names = [*expected, *(name for name in saved if name not in expected)]
    differences = [(n, _shape(saved, n), _shape(expected, n)) for n in names if _shape(saved, n) != _shape(expected, n)]
    if not differences:
        return
    name, there, here = differences[0]
    more = f" (the first of {len(differences)} that differ)" if len(differences) > 1 else ""
    options = _options(checkpoint.get(HEADER), getattr(task, "model", None))
    raise UsageError(
        f"{path} is a checkpoint of another configuration:{options} {name} is {there} in it and {here} here{more}. "
        f"Take the configuration it was trained with, or begin a new run without --ckpt_path"
    )


def _shape(weights: Mapping[str, Any], name: str) -> str:
    return "x".join(map(str, weights[name].shape)) or "one number" if name in weights else "missing"


def _options(there: Any, model: Any) -> str:
    """The first options of the model that differ, where the checkpoint says what it was built with."""
    if not there or not hasattr(model, "init_args"):
        return ""
    if there["class_path"] != model.class_path:
        return f" model is {there['class_path']} in it and {model.class_path} here;"
    then, now = _by_dotted_key(there["init_args"]), _by_dotted_key(model.init_args)
    differ = [key for key in {**now, **then} if then.get(key) != now.get(key)]
    return "".join(f" model{key} is {then.get(key)!r} in it and {now.get(key)!r} here;" for key in differ[:3])


def _by_dotted_key(value: Any, key: str = "") -> dict[str, Any]:
    """Plain values of nested mappings: {"lip": {"size": 48}} -> {".lip.size": 48}."""
    if not isinstance(value, Mapping):
        return {key: value}
    return {k: v for name, item in value.items() for k, v in _by_dotted_key(item, f"{key}.{name}").items()}
