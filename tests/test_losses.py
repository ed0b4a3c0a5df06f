"""Invariants of the training losses."""

import pytest
import torch

from avsep.losses import pit_snr_loss, snr_loss


@pytest.fixture
def speech():
    torch.manual_seed(0)
    return torch.randn(3, 2, 800)


def test_any_permutation_gives_the_same_loss(speech):
    estimates, mixture = speech + 0.3 * torch.randn_like(speech), speech.sum(1)
    assert torch.allclose(pit_snr_loss(estimates, speech, mixture), pit_snr_loss(estimates.flip(1), speech, mixture))


def test_a_perfect_estimate_gives_the_floor(speech):
    assert torch.allclose(pit_snr_loss(speech, speech, speech.sum(1)), torch.tensor(-30.0), atol=1e-3)


def test_the_mixture_as_estimate_gives_the_ratio_of_the_powers():
    source, other = torch.randn(8000), torch.randn(8000)
    loss = snr_loss(source + other, source, source + other)
    assert loss == pytest.approx(10 * torch.log10((other**2).sum() / (source**2).sum() + 1e-3).item(), abs=1e-3)


def test_level_of_everything_changes_nothing(speech):
    estimates, mixture = speech + 0.3 * torch.randn_like(speech), speech.sum(1)
    scaled = pit_snr_loss(0.01 * estimates, 0.01 * speech, 0.01 * mixture)
    assert torch.allclose(pit_snr_loss(estimates, speech, mixture), scaled, atol=1e-3)


def test_silence_gives_no_nan_and_asks_for_silence(speech):
    sources = speech.clone()
    sources[:, 1] = 0
    mixture = sources.sum(1)
    quiet, loud = sources.clone(), speech.clone()
    for estimates in (quiet, loud):
        assert pit_snr_loss(estimates, sources, mixture).isfinite().all()
    assert (pit_snr_loss(quiet, sources, mixture) < pit_snr_loss(loud, sources, mixture)).all()
    estimates = torch.zeros_like(speech).requires_grad_()
    pit_snr_loss(estimates, torch.zeros_like(speech), torch.zeros(3, 800)).sum().backward()
    assert estimates.grad.isfinite().all()
