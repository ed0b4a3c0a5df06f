"""What a training configuration calls data: the sets to train, validate and test on, and how they are loaded."""

from __future__ import annotations

import lightning
from torch.utils.data import DataLoader, Dataset, IterableDataset

from avsep.data.order import DrawnMicrophones, check_shared_memory, training_loader, validation_loader
from avsep.data.shards import StreamedMixtures
from avsep.errors import UsageError


class SeparationData(lightning.LightningDataModule):
    """Batches of mixtures for `SeparationTask`, or of labelled sounds for `ClassificationTask`.

    train: `Mixtures`, made on the fly; `FixedMixtures` or `PublishedMixtures`, which are gone through in their order
    again and again; `StreamedMixtures` from shards; or `LabelledSounds`. validation, test: any of these with a length,
    or `LabelledClips`. epoch_items: an epoch over all processes. workers: processes that load. validation_batch_size:
    None for `batch_size`; items of different lengths need 1. microphones: fewest and most, of which every batch of
    `train` keeps a drawn number, the first channels of its items; None keeps all.
    """

    def __init__(
        self,
        train: Dataset,
        validation: Dataset | None = None,
        test: Dataset | None = None,
        batch_size: int = 8,
        epoch_items: int = 20_000,
        workers: int = 2,
        validation_batch_size: int | None = None,
        microphones: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
            if value < least:
                raise UsageError(f"{name} is {value}; it must be {least} or more")
        if microphones is not None and not 1 <= microphones[0] <= microphones[1]:
            raise UsageError(f"microphones is {microphones}; give the fewest, 1 or more, and the most")
        self.collate = None if microphones is None else DrawnMicrophones(*microphones)
        self.train_set, self.validation_set, self.test_set = train, validation, test
        self.batch_size, self.epoch_items, self.workers = batch_size, epoch_items, workers
        self.validation_batch_size = validation_batch_size or batch_size

    def train_dataloader(self) -> DataLoader:
        if isinstance(self.train_set, IterableDataset):
            # A stream has an order of its own, and its epoch ends where the set says so. Workers that stay know how
            # often they went through it; those of a run that goes on are told.
            if isinstance(self.train_set, StreamedMixtures) and self.trainer is not None:
                done = self.trainer.global_step * self.trainer.accumulate_grad_batches
                whole = self.train_set.epoch_batches(self.batch_size, self.workers, self.trainer.world_size)
                self.train_set.go_on(*divmod(done, max(1, whole)), self.batch_size)
            if self.workers:
                check_shared_memory()
            return DataLoader(
                self.train_set,
                self.batch_size,
                num_workers=self.workers,
                drop_last=True,
                persistent_workers=self.workers > 0,
                collate_fn=self.collate,
            )
        return training_loader(
            self.train_set, self.batch_size, self.epoch_items, self.workers, self.trainer, collate_fn=self.collate
        )

    def val_dataloader(self) -> DataLoader | list:
        return self._in_order(self.validation_set)

    def test_dataloader(self) -> DataLoader | list:
        return self._in_order(self.test_set)

    def _in_order(self, data: Dataset | None) -> DataLoader | list:
        if data is None:
            return []
        return validation_loader(data, self.validation_batch_size, self.workers, self.trainer)
