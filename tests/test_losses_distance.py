"""Losses in units of the samples: by hand, of any level, and in the order of a model."""

from __future__ import annotations

import pytest
import torch

from avsep.losses import FixedOrder, MeanAbsoluteError, MeanSquaredError, OnEstimates, PermutationInvariant
from avsep.models.base import Contract, Output

LOSSES = [(MeanSquaredError(), 2), (MeanAbsoluteError(), 1)]


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates and sources (batch, sources, time)."""
    torch.manual_seed(0)
    sources = torch.randn(3, 2, 500)
    return sources + 0.3 * torch.randn(3, 2, 500), sources


@pytest.mark.parametrize(("loss", "power"), LOSSES)
def test_by_hand(pair, loss, power):
    estimates, sources = pair
    expected = (estimates - sources).abs().pow(power).mean(2)
    torch.testing.assert_close(loss(estimates, sources, sources.sum(1, keepdim=True)), expected)
    assert (loss(sources, sources, sources) == 0).all()
    found = loss(estimates.half(), sources.half().float(), sources)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.01)
    # Twice as loud weighs more.
    torch.testing.assert_close(loss(2 * estimates, 2 * sources, sources), 2**power * expected)


@pytest.mark.parametrize(("loss", "power"), LOSSES)
def test_they_go_in_the_order_of_the_model(pair, loss, power):
    estimates, sources = pair
    batch = {"mixture": sources.sum(1, keepdim=True), "sources": sources.unsqueeze(2)}
    output = Output(estimates.flip(1).unsqueeze(2))
    named, free = OnEstimates(loss), OnEstimates(loss)
    named.adapt(Contract(8000, order="named", names=("a", "b")))
    free.adapt(Contract(8000))
    assert (type(named.loss), type(free.loss)) == (FixedOrder, PermutationInvariant)
    torch.testing.assert_close(free(output, batch), loss(estimates, sources, sources).mean(1))
    assert (named(output, batch) > 2 * free(output, batch)).all()
