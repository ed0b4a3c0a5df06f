"""Neural adaptive beamforming: filters from the raw samples, for every window or for the whole."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from two_talkers import steps_to, two_mixtures_in_a_room

from avsep.losses.objective import as_objective
from avsep.models.nab import NAB
from avsep.models.parts.levels import level_of

TINY = {"microphones": 3, "window": 16, "context": 8, "hidden": 8}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture(params=["frame", "utterance"])
def model(request) -> NAB:
    return NAB(**TINY, every=request.param).eval()


@pytest.mark.parametrize("time", [1, 7, 8, 403])
def test_length_in_is_length_out(model, time):
    estimates = model(torch.randn(2, 3, time)).estimates
    assert estimates.shape == (2, 2, 1, time)
    assert estimates.isfinite().all()


def test_filters_of_an_utterance_are_convolutions_of_the_whole():
    model, mixture = NAB(**TINY, every="utterance").eval(), torch.randn(2, 3, 200)
    contexts = model.windows.cut(mixture)
    samples = (contexts / level_of(mixture)[..., None]).transpose(1, 2).flatten(2)
    filters = model.to_filters(model.lstm(samples)[0].mean(1)).view(2, 3, 2, 17)
    padded = functional.pad(mixture, (8, 8)).unfold(2, 17, 1)
    # Each sample is in two windows.
    expected = 2 * torch.einsum("bmtk,bmsk->bst", padded, filters)
    assert torch.allclose(model(mixture).estimates[:, :, 0], expected, atol=1e-4)


@pytest.mark.parametrize("both_ways", [False, True])
def test_filters_of_a_window_see_the_future_if_they_are_to(both_ways):
    model, mixture = NAB(**TINY, bidirectional=both_ways).eval(), torch.randn(1, 3, 400)
    changed = torch.cat([mixture[..., :200], mixture[..., 200:].flip(2)], dim=2)  # the level of the whole is the same
    before, after = model(mixture).estimates, model(changed).estimates
    reach = 200 - 16 - 8  # a sample's windows, with their context
    assert torch.allclose(before[..., :reach], after[..., :reach], atol=1e-6) != both_ways
    assert not torch.allclose(before[..., 200:], after[..., 200:], atol=1e-3)


def test_louder_in_is_louder_out(model):
    mixture = torch.randn(1, 3, 300)
    assert torch.allclose(model(100 * mixture).estimates, 100 * model(mixture).estimates, rtol=1e-3, atol=1e-3)


def test_silence_gives_silence_and_gradients_that_are_numbers(model):
    estimates = model(torch.zeros(1, 3, 300)).estimates
    estimates.square().sum().backward()
    assert torch.equal(estimates, torch.zeros_like(estimates))
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_gradients_reach_every_weight(model):
    model.train()(torch.randn(2, 3, 400)).estimates.square().sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("shape", [(1, 1, 100), (1, 4, 100), (3, 100)])
def test_wrong_numbers_of_microphones_are_named(model, shape):
    with pytest.raises(ValueError, match=r"mixture .* expected \(batch, channels, time\) with 3 channels"):
        model(torch.randn(shape))


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="every is 'second'; it must be one of frame, utterance"):
        NAB(every="second")
    with pytest.raises(ValueError, match="microphones is 1; it must be a whole number from 2"):
        NAB(microphones=1)


@pytest.mark.slow
def test_it_learns_a_batch():
    model = NAB(microphones=3, hidden=64, layers=1)
    steps_to(8, model, as_objective(None), two_mixtures_in_a_room(0.5, 3), learning_rate=3e-3, most=300)
