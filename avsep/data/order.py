"""Which items make up a batch: a pure function of the optimizer step, so that a run which was stopped goes on exactly.

Items are numbered without end, and the data set makes item n from (seed, n) alone. Epoch e covers the numbers from
e * epoch_items on; a step takes the next batch_size * world * accumulate of them, and of each group of `world` numbers
rank r takes the r-th. Hence neither workers nor ranks nor an interruption change what is learned from: two processes
with batches of 4 see at every step the items that one process with batches of 8 sees.
"""

from __future__ import annotations

import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from avsep.data.item import Item
from avsep.errors import UsageError
from avsep.safe_text import one_line


class StepOrder(Sampler[list[int]]):
    """A batch sampler: lists of item numbers, from the step that `step()` names to the end of its epoch.

    epoch_items: items of an epoch over all ranks; what does not fill a step is left out. world, rank: number of
    processes and which of them this is. accumulate: batches to an optimizer step. step: optimizer steps done when an
    iteration starts. `len()` is the number of batches of a whole epoch. Raises UsageError when an epoch holds no step.
    """

    def __init__(
        self,
        batch_size: int,
        epoch_items: int,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        step: Callable[[], int] = lambda: 0,
    ) -> None:
        self.batch_size, self.epoch_items, self.accumulate = batch_size, epoch_items, accumulate
        self.rank, self.world, self.step = rank, world, step
        self.step_items = batch_size * world * accumulate
        self.epoch_steps = epoch_items // self.step_items if self.step_items > 0 else 0
        if self.epoch_steps < 1:
            raise UsageError(
                f"an epoch of {epoch_items} items holds no step of {self.step_items} "
                f"(batch_size {batch_size} x {world} processes x accumulate_grad_batches {accumulate}). "
                f"Raise epoch_items to {max(1, self.step_items)} or more, or take a smaller batch_size (1 or more)"
            )

    def __len__(self) -> int:
        return self.epoch_steps * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        epoch, done = divmod(self.step(), self.epoch_steps)
        for batch in range(done * self.accumulate, len(self)):
            yield self.batch(epoch, batch)

    def batch(self, epoch: int, number: int) -> list[int]:
        """Item numbers of a batch of an epoch on this rank."""
        first = epoch * self.epoch_items + number * self.batch_size * self.world + self.rank
        return list(range(first, first + self.batch_size * self.world, self.world))


class RankShare(Sampler[int]):
    """Every item once over all ranks, in order: rank r of w takes r, r + w, ... (for validation)."""

    def __init__(self, items: int, rank: int = 0, world: int = 1) -> None:
        self.numbers = range(rank, items, world)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


class DrawnMicrophones:
    """Collates items into a batch that keeps a drawn number of their channels, the first ones: for models that take any
    number of microphones, as all items of a batch need the same.

    fewest, most: evenly drawn from, for each batch, by the names of its items alone, so that a run which was stopped
    goes on exactly.
    """

    def __init__(self, fewest: int, most: int) -> None:
        self.fewest, self.most = fewest, most

    def __call__(self, items: Sequence[Item]) -> dict[str, Any]:
        batch = default_collate(list(items))
        channels = batch["mixture"].shape[1]
        if channels < self.most:
            raise UsageError(
                f"items have {channels} channels, and microphones is ({self.fewest}, {self.most}); make data of "
                f"{self.most} microphones, or lower microphones"
            )
        seed = zlib.crc32("\n".join(batch["name"]).encode())
        kept = int(np.random.default_rng(seed).integers(self.fewest, self.most + 1))
        # Contiguous, so that a worker hands over no more than is kept.
        batch["sources"] = batch["sources"][:, :, :kept].contiguous()
        for name in ("mixture", "geometry"):
            if name in batch:
                batch[name] = batch[name][:, :kept].contiguous()
        if "delays" in batch:
            batch["delays"] = batch["delays"][:, :, :kept].contiguous()
        return batch


def training_loader(
    dataset: Dataset, batch_size: int, epoch_items: int, workers: int = 0, trainer: Any = None, **options: Any
) -> DataLoader:
    """Batches in `StepOrder` from where `trainer` (lightning.Trainer; None: from the start) stands.

    dataset[n] is called with any n >= 0 and must depend on n alone. options: further arguments of DataLoader.
    """
    if trainer is None:
        order = StepOrder(batch_size, epoch_items)
    else:
        limit = trainer.limit_train_batches
        if isinstance(limit, int):
            epoch_items = min(epoch_items, limit * batch_size * trainer.world_size) or epoch_items
        elif limit is not None and 0 < limit < 1:
            epoch_items = max(round(limit * epoch_items), batch_size * trainer.world_size)
        order = StepOrder(
            batch_size,
            epoch_items,
            trainer.global_rank,
            trainer.world_size,
            trainer.accumulate_grad_batches,
            lambda: trainer.global_step,
        )
    return DataLoader(dataset, batch_sampler=order, **_loading(workers, trainer), **options)


def validation_loader(
    dataset: Dataset, batch_size: int, workers: int = 0, trainer: Any = None, **options: Any
) -> DataLoader:
    """Every item of a data set that has a length, in order, shared out over the ranks of `trainer`."""
    rank, world = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    items = len(dataset)  # type: ignore[arg-type]
    if items < world:
        # A process without a batch would not come to where the others wait for it.
        raise UsageError(f"validation has {items} items for {world} processes; give at least one for each")
    share = RankShare(items, rank, world)
    return DataLoader(dataset, batch_size, sampler=share, **_loading(workers, trainer), **options)


def _loading(workers: int, trainer: Any) -> dict[str, Any]:
    if workers:
        check_shared_memory()
    on_gpu = trainer is not None and trainer.strategy.root_device.type == "cuda"
    return {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": on_gpu}


def check_shared_memory() -> None:
    """Raise UsageError where processes cannot share memory, through which workers hand over what they made."""
    try:
        multiprocessing.Lock()
        torch.zeros(1).share_memory_()
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"workers need shared memory; there is none ({one_line(error)}). Mount /dev/shm (docker run --shm-size), or"
            " take --data.init_args.workers 0"
        ) from error
