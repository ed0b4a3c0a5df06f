"""A head for each number of voices behind one trunk, and the one that counts: what each gives, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses import ByCount, NegativeSiSnr, OnLogits, WeightedSum
from avsep.models.mulcat import MulCatDPRNN
from avsep.models.multi_decoder_dprnn import MultiDecoderDPRNN

TINY = {"filters": 8, "bottleneck": 8, "hidden": 4, "chunk": 10, "blocks": 2, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture
def model() -> MultiDecoderDPRNN:
    return MultiDecoderDPRNN(3, **TINY).eval()


def counting(model: MultiDecoderDPRNN, *counts: int) -> None:
    """The head counts so many in the items of the next batches, whatever is in them."""
    logits = torch.nn.functional.one_hot(torch.tensor(counts), model.most_voices + 1).float()
    model.counter.forward = lambda features: logits


@pytest.mark.parametrize("time", [1, 7, 1003])
def test_every_head_is_a_stage_with_silence_added(model, time):
    output = model(torch.randn(2, 1, time))
    assert output.logits["count"].shape == (2, 4)
    assert [stage.shape for stage in output.stages] == [(2, 3, 1, time)] * 3
    for count, stage in enumerate(output.stages, 1):
        assert stage[:, :count].flatten(2).any(2).all()
        assert not stage[:, count:].any()


def test_estimates_are_of_the_head_of_the_estimated_number(model):
    counting(model, 2, 0, 3, 1, 2)
    mixture = torch.randn(5, 1, 500)
    output = model(mixture)
    for item, count in enumerate((2, 0, 3, 1, 2)):
        expected = output.stages[count - 1][item] if count else torch.zeros(3, 1, 500)
        assert torch.equal(output.estimates[item], expected)
    torch.testing.assert_close(model.separate(mixture).estimates, output.estimates)


@pytest.mark.parametrize(("counts", "sources"), [((0, 0), 1), ((1, 0), 1), ((2, 1), 2), ((3, 2), 3)])
def test_use_gives_as_many_as_the_item_with_the_most(model, counts, sources):
    counting(model, *counts)
    estimates = model.separate(torch.randn(2, 1, 400)).estimates
    assert estimates.shape == (2, sources, 1, 400)
    assert estimates.flatten(2).any(2).sum(1).tolist() == list(counts)


def test_heads_that_are_not_needed_do_not_run(model):
    counting(model, 2, 2)
    run = []
    for head in model.heads:
        head.register_forward_hook(lambda head, args, out: run.append(out.shape[1]))
    model.separate(torch.randn(2, 1, 400))
    assert run == [2]


@pytest.mark.parametrize("told", [1, 2, 3])
def test_a_number_that_is_told_needs_no_counting(model, told):
    mixture = torch.randn(2, 1, 400)
    other = model.with_sources(told)
    assert (other.contract.sources, model.contract.sources) == (told, None)
    torch.testing.assert_close(other.separate(mixture).estimates, model(mixture).stages[told - 1][:, :told])
    with pytest.raises(ValueError, match="sources is 4; it must be a whole number from 1 to 3"):
        model.with_sources(4)


def test_an_item_trains_the_head_of_its_number():
    model = MultiDecoderDPRNN(3, **TINY)
    sources = torch.randn(1, 3, 1, 400)
    sources[:, 1] = 0
    ByCount()(model(sources.sum(1)), {"mixture": sources.sum(1), "sources": sources}).sum().backward()
    assert [any(p.grad is not None and p.grad.any() for p in head.parameters()) for head in model.heads] == [
        False,
        True,
        False,
    ]
    assert model.trunk.enter[1].weight.grad.any()
    assert all(p.grad is None for p in model.counter.parameters())


def test_the_trunk_is_that_of_mulcat():
    """Of its size in the paper the heads for other numbers and the counter are all that comes to it."""
    model, mulcat = MultiDecoderDPRNN(**MultiDecoderDPRNN.paper_args), MulCatDPRNN(sources=5, sample_rate=8000)
    last = sum(p.numel() for p in model.heads[-1].parameters())
    own = sum(p.numel() for part in (model.heads[:-1], model.counter) for p in part.parameters())
    assert model.parameter_count - own == mulcat.parameter_count
    assert last == 5 * (128 * 128 + 128) + 1 + 128 * 8


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="most_voices is 0; it must be a whole number from 1 to 16"):
        MultiDecoderDPRNN(0, **TINY)
    with pytest.raises(ValueError, match=r"cell is 'gru'; it must be one of \['lstm', 'mulcat'\]"):
        MultiDecoderDPRNN(2, **TINY, cell="gru")


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"filters": 64, "kernel": 16, "stride": 8, "bottleneck": 32, "hidden": 32, "chunk": 20, "blocks": 1}
    model = MultiDecoderDPRNN(3, **sizes, sample_rate=8000)
    objective = WeightedSum([ByCount(NegativeSiSnr()), OnLogits("count", "count")])
    steps_to(20, model, objective, two_mixtures(seconds=0.25))
