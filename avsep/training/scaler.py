"""Statistics of the training data that a model wants to know before its first step, as an option."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.utils.data import Dataset, IterableDataset

from avsep.errors import UsageError


class InputScaler(Callback):
    """Fits the input scaler of a model that has one (`fit_scaler`: Open-Unmix) to the mixtures of the first `items`
    training items. A run that goes on keeps what its checkpoint holds.

    Name it before `AveragedWeights`, which begins with the weights that there are.
    """

    def __init__(self, items: int = 200) -> None:
        if items < 1:
            raise UsageError(f"InputScaler: items is {items}; it must be 1 or more")
        self.items = items

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if stage != "fit" or trainer.ckpt_path is not None:
            return
        model: Any = pl_module.model
        data: Any = getattr(trainer, "datamodule", None)
        train = getattr(data, "train_set", None)
        if not hasattr(model, "fit_scaler"):
            raise UsageError(f"InputScaler: {type(model).__name__} has no input scaler; leave the callback out")
        if not isinstance(train, Dataset) or isinstance(train, IterableDataset):
            raise UsageError("InputScaler: the training data are no items by number; take avsep.data.mixtures.Mixtures")
        most = model.contract.channels[1]
        model.fit_scaler(train[number]["mixture"][:most] for number in range(self.items))
