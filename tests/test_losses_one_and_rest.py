"""One-and-rest PIT, counting what is left, and losses by the number of sources."""

from __future__ import annotations

import itertools

import pytest
import torch

from avsep.errors import UsageError
from avsep.losses import (
    ByCount,
    NegativeSiSnr,
    NegativeSnr,
    OneAndRest,
    OnEstimates,
    PermutationInvariant,
    VoicesLeft,
    snr_loss,
)
from avsep.models.base import Output

TIME = 400


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def batch_of(*counts: int, places: int = 3) -> dict[str, torch.Tensor]:
    """Items with so many sources that sound, in places drawn at random."""
    sources = torch.zeros(len(counts), places, 1, TIME)
    for item, count in zip(sources, counts, strict=True):
        item[torch.randperm(places)[:count]] = torch.randn(count, 1, TIME)
    return {"mixture": sources.sum(1), "sources": sources}


def voices_of(batch: dict[str, torch.Tensor], item: int) -> list[torch.Tensor]:
    return [source for source in batch["sources"][item, :, 0] if source.any()]


def by_hand(one: torch.Tensor, rest: torch.Tensor, voices: list[torch.Tensor], mixture: torch.Tensor):
    """The least loss (Takahashi et al., 2019, eq. 2) and which voice is the one."""
    found = []
    for n, voice in enumerate(voices):
        others = sum((v for m, v in enumerate(voices) if m != n), torch.zeros(TIME))
        found.append(snr_loss(one, voice, mixture) + snr_loss(rest, others, mixture) / max(1, len(voices) - 1))
    return min(found), int(torch.stack(found).argmin())


@pytest.mark.parametrize("count", [1, 2, 3])
def test_it_is_the_least_over_which_voice_is_the_one(count):
    batch = batch_of(count, count)
    estimates = torch.randn(2, 2, 1, TIME)
    losses = OneAndRest()(Output(estimates), batch)
    for item in range(2):
        expected, _ = by_hand(*estimates[item, :, 0], voices_of(batch, item), batch["mixture"][item, 0])
        assert losses[item] == pytest.approx(float(expected), abs=1e-4)


def test_perfect_estimates_reach_the_floor_whichever_voice_is_the_one():
    batch = batch_of(3)
    for number in range(3):
        one = batch["sources"][:, number]
        estimates = torch.stack([one, batch["mixture"] - one], 1)
        # 30 dB for the one, and half as much for the rest.
        assert OneAndRest()(Output(estimates), batch).item() == pytest.approx(-45, abs=0.1)


def test_the_order_of_the_sources_changes_nothing():
    batch = batch_of(3, 2)
    output = Output(torch.randn(2, 2, 1, TIME))
    expected = OneAndRest()(output, batch)
    for order in itertools.permutations(range(3)):
        moved = batch | {"sources": batch["sources"][:, list(order)]}
        torch.testing.assert_close(OneAndRest()(output, moved), expected)


def test_a_voice_alone_leaves_silence():
    batch = batch_of(1)
    one = batch["mixture"]
    silent = torch.zeros_like(one)
    assert OneAndRest()(Output(torch.stack([one, silent], 1)), batch).item() == pytest.approx(-50, abs=0.1)
    assert OneAndRest()(Output(torch.stack([one, 0.5 * one], 1)), batch).item() > -40


def test_nobody_is_held_against_silence():
    batch = batch_of(0) | {"mixture": torch.randn(1, 1, TIME)}
    silent, loud = (Output(level * torch.ones(1, 2, 1, TIME)) for level in (0.0, 1.0))
    assert OneAndRest()(silent, batch).item() == pytest.approx(-40, abs=0.1)
    assert OneAndRest()(loud, batch).item() > -10


def test_later_passes_are_held_against_what_earlier_ones_left():
    batch = batch_of(3, 2)
    passes = [torch.randn(2, 2, 1, TIME) for _ in range(3)]
    losses = OneAndRest()(Output(passes[0], (passes[1], passes[2])), batch)
    for item in range(2):
        voices, parts = voices_of(batch, item), []
        for estimates in passes:
            if voices:
                loss, best = by_hand(*estimates[item, :, 0], voices, batch["mixture"][item, 0])
                parts.append(loss)
                del voices[best]
        assert losses[item] == pytest.approx(float(torch.stack(parts).mean()), abs=1e-4)


@pytest.mark.parametrize("pairwise", [NegativeSnr(), NegativeSiSnr()])
def test_gradients_are_finite_for_every_count(pairwise):
    batch = batch_of(0, 1, 2, 3)
    estimates = [torch.randn(4, 2, 1, TIME, requires_grad=True) for _ in range(4)]
    OneAndRest(pairwise)(Output(estimates[0], tuple(estimates[1:])), batch).sum().backward()
    assert all(one.grad.isfinite().all() for one in estimates)
    assert estimates[0].grad.any()
    # Of the item with three, three passes count; of the others fewer.
    assert [[bool(one.grad[item].any()) for one in estimates] for item in (1, 2, 3)] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
    ]


def test_other_numbers_of_estimates_are_refused():
    with pytest.raises(UsageError, match="OneAndRest: the model gives 3 estimates, not one and the rest"):
        OneAndRest()(Output(torch.zeros(1, 3, 1, TIME)), batch_of(2))


def test_voices_left_after_every_pass():
    batch = batch_of(0, 1, 2, 3)
    # Sure of nobody, one, and more than one.
    sure = 50 * torch.eye(3)
    expected = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 1, 0], [2, 2, 1]])
    output = Output(logits={"stop": sure[expected]})
    assert VoicesLeft()(output, batch).tolist() == pytest.approx([0, 0, 0, 0], abs=1e-6)
    wrong = Output(logits={"stop": sure[(expected + 1) % 3]})
    assert VoicesLeft()(wrong, batch).tolist() == pytest.approx([50] * 4)
    even = Output(logits={"stop": torch.zeros(4, 2, 3)})
    assert VoicesLeft()(even, batch).tolist() == pytest.approx([torch.log(torch.tensor(3.0)).item()] * 4)


def test_logits_that_are_missing_are_named():
    with pytest.raises(UsageError, match=r"the model gives no logits 'stop'; it gives count"):
        VoicesLeft()(Output(logits={"count": torch.zeros(1, 3)}), batch_of(2))


def test_by_count_goes_by_the_head_of_the_true_number():
    batch = batch_of(1, 3, 2, 2, places=4)
    heads = [torch.randn(4, 4, 1, TIME) for _ in range(3)]
    losses = ByCount()(Output(stages=tuple(heads)), batch)
    for item, count in enumerate((1, 3, 2, 2)):
        voices = torch.stack(voices_of(batch, item))[None]
        estimates = heads[count - 1][item, :count, 0][None]
        expected = PermutationInvariant()(estimates, voices, batch["mixture"][item])
        assert losses[item] == pytest.approx(expected.item(), abs=1e-4)


def test_by_count_takes_the_last_head_for_more_and_the_first_for_nobody():
    batch = batch_of(3, 0) | {"mixture": torch.randn(2, 1, TIME)}
    heads = [torch.randn(2, 2, 1, TIME, requires_grad=True) for _ in range(2)]
    losses = ByCount()(Output(stages=tuple(heads)), batch)
    losses.sum().backward()
    assert losses.isfinite().all()
    used = [[bool(head.grad[item].any()) for head in heads] for item in range(2)]
    assert used == [[False, True], [True, False]]
    part = {name: value[:1] for name, value in batch.items()}
    assert losses[0].item() == pytest.approx(OnEstimates()(Output(heads[1][:1]), part).item(), abs=1e-4)
