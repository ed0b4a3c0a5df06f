"""The order of training data: a function of the step alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset

from avsep.data.order import RankShare, StepOrder, training_loader, validation_loader
from avsep.errors import UsageError


class Numbers(Dataset):
    def __getitem__(self, number: int) -> int:
        return number

    def __len__(self) -> int:
        return 7


def trainer(step: int = 0, rank: int = 0, world: int = 1, accumulate: int = 1, limit: int | float | None = 1.0):
    return SimpleNamespace(
        global_step=step,
        global_rank=rank,
        world_size=world,
        accumulate_grad_batches=accumulate,
        limit_train_batches=limit,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )


def steps(order: StepOrder) -> list[set[int]]:
    """Items of each optimizer step of one rank."""
    batches = list(order)
    return [{n for b in batches[i : i + order.accumulate] for n in b} for i in range(0, len(batches), order.accumulate)]


def test_epochs_cover_their_own_items():
    first, second = (list(StepOrder(4, 12, step=lambda s=s: s)) for s in (0, 3))
    assert first == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert second == [[12, 13, 14, 15], [16, 17, 18, 19], [20, 21, 22, 23]]


def test_goes_on_in_the_middle_of_an_epoch():
    assert list(StepOrder(4, 12, step=lambda: 4)) == [[16, 17, 18, 19], [20, 21, 22, 23]]
    assert len(StepOrder(4, 12, step=lambda: 4)) == 3  # batches of an epoch, not of what is left


@pytest.mark.parametrize(("world", "accumulate"), [(1, 4), (2, 1), (2, 2), (4, 1)])
def test_a_step_has_the_same_items_on_any_ranks_and_accumulation(world, accumulate):
    size = 8 // (world * accumulate)
    ranks = [steps(StepOrder(size, 24, rank, world, accumulate)) for rank in range(world)]
    together = [set().union(*parts) for parts in zip(*ranks, strict=True)]
    assert together == steps(StepOrder(8, 24))
    assert sum(len(s) for part in ranks for s in part) == 24


def test_what_does_not_fill_a_step_is_left_out_and_the_next_epoch_begins_at_its_own_items():
    assert list(StepOrder(4, 10)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert next(iter(StepOrder(4, 10, step=lambda: 2))) == [10, 11, 12, 13]


@pytest.mark.parametrize("size", [0, 25, -1])
def test_an_epoch_without_a_step_is_refused(size):
    with pytest.raises(UsageError, match=rf"an epoch of 24 items holds no step of .*batch_size {size} x 1 processes"):
        StepOrder(size, 24)


def test_loader_follows_the_trainer_on_any_number_of_workers():
    seen = []
    for workers in (0, 2):
        loader = training_loader(Numbers(), 2, 8, workers, trainer(step=1, rank=1, world=2))
        seen.append([batch.tolist() for batch in loader])
    assert seen[0] == seen[1] == [[5, 7]]


@pytest.mark.parametrize("limit", [2, 0.5])
def test_limited_epochs_stay_whole(limit):
    loader = training_loader(Numbers(), 2, 8, trainer=trainer(step=2, limit=limit))
    assert [batch.tolist() for batch in loader] == [[4, 5], [6, 7]]


def test_validation_shares_every_item_once():
    shares = [list(RankShare(7, rank, 3)) for rank in range(3)]
    assert sorted(n for share in shares for n in share) == list(range(7))
    assert [b.tolist() for b in validation_loader(Numbers(), 2, trainer=trainer(rank=1, world=3))] == [[1, 4]]


def test_validation_with_fewer_items_than_processes_is_refused():
    """A process without a batch would leave the others waiting."""
    assert len(validation_loader(Numbers(), 1, trainer=trainer(rank=6, world=7))) == 1
    with pytest.raises(UsageError, match="validation has 7 items for 8 processes"):
        validation_loader(Numbers(), 1, trainer=trainer(world=8))
