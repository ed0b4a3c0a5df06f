"""Complex ratio masks: compression, what the ideal ones give, bounds, and learning."""

from __future__ import annotations

import math

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.dsp.masks import complex_ratio_masks, compressed, decompressed
from avsep.dsp.stft import istft, stft
from avsep.errors import UsageError
from avsep.losses import ComplexMaskMse, MaskMse, OnMasks, OnWaveforms
from avsep.models.complex_ratio_mask import ComplexRatioMaskBLSTM

TINY = {"layers": 1, "hidden": 8, "dropout": 0.0, "window": 64, "hop": 16, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_the_ideal_masks_give_the_sources_back():
    sources = torch.randn(2, 2, 1003)
    mixture = stft(sources.sum(1), 64, 16)
    masks = complex_ratio_masks(stft(sources, 64, 16), mixture)
    assert masks.is_complex()
    torch.testing.assert_close(istft(masks * mixture.unsqueeze(1), 1003, 64, 16), sources, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(masks.sum(1), torch.ones_like(mixture), atol=1e-2, rtol=0)


def test_silence_has_masks_of_0():
    silence = torch.zeros(1, 2, 5, 4, dtype=torch.complex64)
    assert (complex_ratio_masks(silence, silence.sum(1)) == 0).all()


def test_compression_by_its_formula_and_back():
    x = torch.linspace(-40, 40, 81)
    decay = torch.exp(-0.1 * x)
    torch.testing.assert_close(compressed(x), 10 * (1 - decay) / (1 + decay))
    torch.testing.assert_close(decompressed(compressed(x)), x, atol=1e-3, rtol=1e-4)
    steep = compressed(torch.complex(x, -x), bound=2.0, steepness=0.5)
    torch.testing.assert_close(steep.real, 2 * torch.tanh(0.25 * x))
    torch.testing.assert_close(steep.imag, -steep.real)
    assert compressed(torch.tensor(1e9)) == 10
    assert decompressed(torch.tensor(10.0)) == pytest.approx(20 * math.atanh(0.99), rel=1e-4)


def test_masks_are_complex_and_stay_in_their_bounds():
    model = ComplexRatioMaskBLSTM(**TINY).eval()
    with torch.no_grad():
        model.separator.to_masks.weight *= 1000
        masks = model(torch.randn(2, 1, 1003)).masks
    assert masks.shape == (2, 2, 33, 64)
    most = 20 * math.atanh(0.99)
    for part in (masks.real, masks.imag):
        assert part.abs().max() == pytest.approx(most, rel=1e-3)
        assert part.isfinite().all()


@pytest.mark.parametrize("time", [1, 15, 16, 1003])
def test_length_in_is_length_out_and_estimates_are_the_masked_spectrum(time):
    model, mixture = ComplexRatioMaskBLSTM(**TINY, sources=3).eval(), torch.randn(2, 1, time)
    output = model(mixture)
    assert output.estimates.shape == (2, 3, 1, time)
    bins = output.masks * stft(mixture, 64, 16)
    torch.testing.assert_close(output.estimates[:, :, 0], istft(bins, time, 64, 16))


def test_the_loss_is_0_at_the_ideal_masks_in_any_order():
    sources = stft(torch.randn(2, 2, 1000), 64, 16)
    mixture = sources.sum(1)
    ideal = complex_ratio_masks(sources, mixture)
    loss = ComplexMaskMse()
    assert (loss(ideal.flip(1), sources, mixture) < 1e-8).all()
    assert (ComplexMaskMse(in_any_order=False)(ideal.flip(1), sources, mixture) > 0.1).all()
    # Both parts count: a mask without its phase is wrong.
    assert (loss(ideal.abs().to(ideal.dtype), sources, mixture) > 0.01).all()
    torch.testing.assert_close(loss(ideal.real, sources, mixture), loss(ideal.real.to(ideal.dtype), sources, mixture))


def test_the_loss_by_hand():
    sources, mixture = torch.tensor([2 + 2j]).reshape(1, 1, 1, 1), torch.tensor([2 + 0j]).reshape(1, 1, 1)
    found = ComplexMaskMse(bound=4.0, steepness=1.0)(torch.zeros_like(sources), sources, mixture)
    assert found.item() == pytest.approx(2 * (4 * math.tanh(0.5)) ** 2)


def test_gradients_are_finite_where_the_mixture_is_silent():
    sources = torch.zeros(1, 2, 1, 800)
    batch = {"sources": sources, "mixture": sources.sum(1)}
    model = ComplexRatioMaskBLSTM(**TINY)
    OnMasks(ComplexMaskMse())(model(batch["mixture"]), batch).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_what_makes_no_sense_is_named():
    with pytest.raises(ValueError, match="bound is 0; it must be above 0 and at most 1000"):
        ComplexRatioMaskBLSTM(**TINY, bound=0)
    with pytest.raises(ValueError, match=r"steepness is -0.1; it must be above 0"):
        ComplexMaskMse(steepness=-0.1)
    with pytest.raises(UsageError, match="OnWaveforms: ComplexMaskMse is a loss of complex masks, and magnitudes are"):
        OnWaveforms(ComplexMaskMse())
    batch = {"sources": torch.randn(1, 2, 1, 800), "mixture": torch.randn(1, 1, 800)}
    with pytest.raises(UsageError, match="masks are complex; take OnEstimates, the loss ComplexMaskMse, or a model"):
        OnMasks(MaskMse())(ComplexRatioMaskBLSTM(**TINY)(batch["mixture"]), batch)


@pytest.mark.slow
def test_it_learns_a_batch():
    model = ComplexRatioMaskBLSTM(layers=1, hidden=128, dropout=0.0, window=512, hop=128, sample_rate=8000)
    steps_to(12, model, OnMasks(ComplexMaskMse()), two_mixtures(seconds=1.0), 3e-3)
