"""Muon moves matrices as torch's own does, but in the precision they have."""

import pytest
import torch

from avsep.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_steps_are_those_of_torch_but_for_its_bfloat16(shape):
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.zeros(shape)) for _ in range(2))
    muon = Muon([ours], 1e-2, 0.1)
    reference = torch.optim.Muon([theirs], 1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        muon.step()
        reference.step()
    moved = theirs.detach().abs().max()
    assert moved > 1e-2
    assert (ours - theirs).abs().max() < 0.03 * moved


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_all_directions_count_about_the_same(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape) * 100))
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_a_zero_gradient_and_none_move_nothing():
    still, unused = torch.nn.Parameter(torch.ones(3, 4)), torch.nn.Parameter(torch.ones(3, 4))
    still.grad = torch.zeros(3, 4)
    Muon([still, unused], 0.1).step()
    assert torch.equal(still, torch.ones(3, 4))
    assert torch.equal(unused, torch.ones(3, 4))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match=r"a parameter of shape \(3,\); Muon moves matrices only"):
        Muon([torch.nn.Parameter(torch.ones(3))], 0.1)
