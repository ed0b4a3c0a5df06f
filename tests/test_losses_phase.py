"""Losses that see the phase: compressed spectra, and magnitude and phase apart."""

from __future__ import annotations

import pytest
import torch

from avsep.dsp.stft import power_law, stft
from avsep.errors import UsageError
from avsep.losses import CompressedSpectrum, FixedOrder, MagnitudeAndPhase, OnEstimates, PermutationInvariant
from avsep.models.base import Output

WINDOW, HOP = 128, 32


@pytest.fixture
def voices():
    """(batch, sources, time): noise that comes and goes."""
    torch.manual_seed(0)
    return torch.randn(2, 2, 2000) * torch.randn(2, 2, 5).square().repeat_interleave(400, -1)


def transform(x: torch.Tensor) -> torch.Tensor:
    return stft(x, WINDOW, HOP)


def masked(voices: torch.Tensor, masks: torch.Tensor) -> tuple[Output, dict[str, torch.Tensor]]:
    mixture = voices.sum(1)
    output = Output(spectrum=transform(mixture), masks=masks, transform=transform)
    return output, {"mixture": mixture.unsqueeze(1), "sources": voices.unsqueeze(2)}


def ideal(voices: torch.Tensor) -> torch.Tensor:
    """Complex ratio masks (batch, sources, freq, frames)."""
    return transform(voices) / transform(voices.sum(1)).unsqueeze(1)


def test_a_power_law_keeps_the_phase():
    bins = torch.polar(torch.tensor([4.0, 0.25, 1e-6, 0.0]), torch.tensor([0.3, -2.0, 1.0, 0.0])).requires_grad_()
    made = power_law(bins, 0.5)
    torch.testing.assert_close(made[:2].abs(), torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(made[:2].angle(), bins[:2].angle())
    assert made[2].abs() < 1e-4
    made.abs().sum().backward()
    assert bins.grad.isfinite().all()


def test_compressed_spectra_of_the_source_itself_differ_by_nothing(voices):
    loss, mixture = CompressedSpectrum(WINDOW, HOP, None), voices.sum(1)
    assert (loss(voices, voices, mixture.unsqueeze(1)) == 0).all()
    estimates = voices + 0.1 * voices.flip(1)
    found = FixedOrder(loss)(estimates, voices, mixture)
    assert (found > 0).all()
    assert (FixedOrder(loss)(estimates.flip(1), voices, mixture) > 2 * found).all()
    torch.testing.assert_close(PermutationInvariant(loss)(estimates.flip(1), voices, mixture), found)
    torch.testing.assert_close(FixedOrder(loss)(*(0.01 * x for x in (estimates, voices, mixture))), found)
    # A wrong sign is a wrong phase.
    assert (FixedOrder(loss)(-estimates, voices, mixture) > 10 * found).all()


def test_compression_lifts_quiet_bins():
    source = torch.cat([torch.randn(1, 1000), 0.01 * torch.randn(1, 1000)], 1)
    without = [torch.cat([source[:, :1000], 0 * source[:, 1000:]], 1), 0.99 * source]
    compressed, plain = (
        [CompressedSpectrum(WINDOW, HOP, None, power)(x, source, source) for x in without] for power in (0.3, 1.0)
    )
    assert compressed[0] > 100 * compressed[1]
    assert plain[0] < 10 * plain[1]


def test_the_ideal_complex_mask_leaves_no_error_of_magnitude_or_phase(voices):
    loss, masks = MagnitudeAndPhase(), ideal(voices)
    assert (loss(*masked(voices, masks)) < 1e-4).all()
    # With the mixture's phase the magnitude alone is right.
    assert (MagnitudeAndPhase(0.0)(*masked(voices, masks.abs())) < 1e-4).all()
    assert (loss(*masked(voices, masks.abs())) > 0.05).all()
    turned = loss(*masked(voices, masks * torch.polar(torch.tensor(1.0), torch.tensor(0.5))))
    magnitude = transform(voices).abs().mean((1, 2, 3)) / transform(voices.sum(1)).abs().mean((1, 2))
    torch.testing.assert_close(turned, (1 - torch.tensor(0.5).cos()) * magnitude, atol=1e-3, rtol=1e-2)


def test_magnitude_and_phase_at_any_level_and_in_one_order(voices):
    loss, masks = MagnitudeAndPhase(), 0.5 * ideal(voices) + 0.3
    found = loss(*masked(voices, masks))
    torch.testing.assert_close(loss(*masked(0.01 * voices, masks)), found, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(loss(*masked(voices, masks.flip(1))), found)
    parts = [MagnitudeAndPhase(weight)(*masked(voices, masks)) for weight in (0.0, 1.0, 2.0)]
    torch.testing.assert_close(parts[2] - parts[1], parts[1] - parts[0])


@pytest.mark.parametrize("complex_masks", [True, False])
def test_silence_gives_no_nan(voices, complex_masks):
    voices[0], voices[1, 1] = 0, 0
    masks = torch.rand(2, 2, WINDOW // 2 + 1, 64)
    masks = (torch.complex(masks, masks.flip(1)) if complex_masks else masks).requires_grad_()
    loss = MagnitudeAndPhase()(*masked(voices, masks))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert torch.view_as_real(masks.grad + 0j).isfinite().all()
    estimates = voices.clone().requires_grad_()
    loss = OnEstimates(FixedOrder(CompressedSpectrum(WINDOW, HOP, None)))(
        Output((estimates + 0.1).unsqueeze(2)), {"mixture": voices.sum(1, keepdim=True), "sources": voices.unsqueeze(2)}
    )
    loss.sum().backward()
    assert loss.isfinite().all()
    assert estimates.grad.isfinite().all()


def test_what_does_not_fit_is_named(voices):
    with pytest.raises(UsageError, match="CompressedSpectrum: power is 0; it must be above 0 and at most 1"):
        CompressedSpectrum(power=0)
    with pytest.raises(ValueError, match="hop"):
        CompressedSpectrum(hop=300)
    with pytest.raises(UsageError, match="MagnitudeAndPhase: weight is -1"):
        MagnitudeAndPhase(-1)
    with pytest.raises(UsageError, match=r"masks \(2, 1, 65, 64\) for sources \(2, 2, 65, 64\)"):
        MagnitudeAndPhase()(*masked(voices, torch.rand(2, 1, 65, 64)))
    output, batch = masked(voices, torch.rand(2, 2, 65, 64))
    output.masks = None
    with pytest.raises(UsageError, match="MagnitudeAndPhase needs masks, but the model gives spectrum, transform"):
        MagnitudeAndPhase()(output, batch)
