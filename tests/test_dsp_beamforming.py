"""Beamformers against closed forms, scipy and torchaudio, and with input that has no inverse."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torchaudio.transforms import PSD, RTFMVDR, SoudenMVDR

from avsep.dsp.beamforming import (
    BlockBeamformer,
    beamform,
    beamform_in_blocks,
    beamformer_weights,
    blind_analytic_normalisation,
    delay_and_sum,
    gev,
    mvdr_rtf,
    mvdr_souden,
    transfer_by_eigenvector,
    transfer_by_subtraction,
)
from avsep.dsp.spatial import bin_frequencies, gcc_phat, plane_wave_delays, spatial_covariance, steering_vectors

KINDS = ["souden", "rtf", "gev"]
FREQ, CHANNELS, FRAMES = 5, 4, 200


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def outer(h: torch.Tensor) -> torch.Tensor:
    return h.unsqueeze(-1) * h.conj().unsqueeze(-2)


def response(weights: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """w^H h: what becomes of a target with these transfer functions."""
    return (weights.conj() * h).sum(-1)


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Transfer functions h (freq, channels), covariances of the target 3 h h^H and of noise, both (freq, channels,
    channels)."""
    h = noise(FREQ, CHANNELS)
    return h, 3 * outer(h), spatial_covariance(noise(CHANNELS, FREQ, 20, seed=1))


@pytest.mark.parametrize("reference", [0, 2])
@pytest.mark.parametrize("kind", ["souden", "rtf"])
def test_mvdr_leaves_the_target_as_it_is_at_the_reference(scene, kind, reference):
    h, target, noisy = scene
    weights = beamformer_weights(kind, target, noisy, reference)
    torch.testing.assert_close(response(weights, h), h[:, reference], atol=1e-4, rtol=1e-4)
    # The closed form, in double precision.
    exact_h, exact_noise = h.numpy().astype(complex), noisy.numpy().astype(complex)
    filtered = np.linalg.solve(exact_noise, exact_h[..., None])[..., 0]
    exact = filtered * exact_h[:, reference, None].conj() / np.sum(exact_h.conj() * filtered, -1, keepdims=True)
    np.testing.assert_allclose(weights.numpy(), exact, atol=1e-3)


def test_noise_in_the_covariance_of_the_target(scene):
    """Souden's weights are then a mean of MVDR and of the reference over the channels; by transfer functions they are
    MVDR still."""
    h, target, noisy = scene
    exact = mvdr_souden(target, noisy)
    mixed = target + 0.5 * noisy
    gain = 3 * (h.conj() * torch.linalg.solve(noisy, h)).sum(-1).real
    alone = torch.zeros_like(exact)
    alone[:, 0] = 1
    mean = (gain[:, None] * exact + 0.5 * alone) / (gain[:, None] + 0.5 * CHANNELS)
    torch.testing.assert_close(mvdr_souden(mixed, noisy), mean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(beamformer_weights("rtf", mixed, noisy), exact, atol=1e-3, rtol=1e-3)


def test_mvdr_lets_least_noise_through(scene):
    h, target, noisy = scene
    weights = mvdr_souden(target, noisy)
    power = torch.einsum("fc,fcd,fd->f", weights.conj(), noisy, weights).real
    for seed in range(5):
        # Any change that leaves the target alone.
        change = noise(FREQ, CHANNELS, seed=seed + 5)
        change = change - h * (response(h, change) / response(h, h))[:, None]
        other = weights + 0.1 * change
        torch.testing.assert_close(response(other, h), response(weights, h), atol=1e-4, rtol=1e-4)
        assert (torch.einsum("fc,fcd,fd->f", other.conj(), noisy, other).real > power).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_mvdr_is_that_of_torchaudio(scale):
    spectrum, mask = scale * noise(CHANNELS, FREQ, FRAMES), torch.rand(FREQ, FRAMES)
    target, interference = spatial_covariance(spectrum, mask), spatial_covariance(spectrum, 1 - mask)
    ours = beamform(mvdr_souden(target, interference, 1), spectrum)
    psd = PSD()
    theirs = SoudenMVDR()(spectrum / scale, psd(spectrum / scale, mask), psd(spectrum / scale, 1 - mask), 1)
    torch.testing.assert_close(ours / scale, theirs, atol=1e-3, rtol=1e-3)
    h = transfer_by_eigenvector(target, interference)
    theirs = RTFMVDR()(spectrum / scale, h, psd(spectrum / scale, 1 - mask), 1)
    torch.testing.assert_close(beamform(mvdr_rtf(h, interference, 1), spectrum) / scale, theirs, atol=1e-3, rtol=1e-3)


def test_transfer_functions_from_covariances(scene):
    h, target, noisy = scene
    relative = h / h[:, :1]
    for found in (transfer_by_eigenvector(target, noisy), transfer_by_subtraction(target + noisy, noisy)):
        torch.testing.assert_close(found / found[:, :1], relative, atol=1e-3, rtol=1e-3)


def test_gev_is_the_generalised_eigenvector_of_scipy():
    target = spatial_covariance(noise(CHANNELS, FREQ, 50))
    noisy = spatial_covariance(noise(CHANNELS, FREQ, 50, seed=1))
    weights, plain = gev(target, noisy), gev(target, noisy, normalise=False)
    for number in range(FREQ):
        t, n = target[number].numpy().astype(complex), noisy[number].numpy().astype(complex)
        exact = scipy.linalg.eigh(t, n)[1][:, -1]
        # Level by BAN, phase by the target's at the first microphone.
        level = np.sqrt((exact.conj() @ n @ n @ exact).real / CHANNELS) / (exact.conj() @ n @ exact).real
        at_reference = (n @ exact)[0]
        exact = exact * level * at_reference.conj() / np.abs(at_reference)
        np.testing.assert_allclose(weights[number].numpy(), exact, atol=1e-4)
        alike = np.vdot(exact, plain[number].numpy())
        assert abs(alike) == pytest.approx(np.linalg.norm(exact) * np.linalg.norm(plain[number].numpy()), rel=1e-4)
        assert alike.real == pytest.approx(abs(alike), rel=1e-4)


def test_gev_has_the_phase_of_the_reference_and_the_level_of_all(scene):
    h, target, noisy = scene
    for reference in (0, 3):
        gain = response(gev(target, noisy, reference), h)
        torch.testing.assert_close(gain.angle(), h[:, reference].angle(), atol=1e-3, rtol=0)
        torch.testing.assert_close(gain.abs(), h.abs().square().mean(-1).sqrt(), atol=1e-3, rtol=1e-3)


def test_normalisation_gives_mvdr_the_level_of_all(scene):
    h, target, noisy = scene
    weights = blind_analytic_normalisation(7 * mvdr_souden(target, noisy), noisy)
    torch.testing.assert_close(response(weights, h).angle(), h[:, 0].angle(), atol=1e-3, rtol=0)
    torch.testing.assert_close(response(weights, h).abs(), h.abs().square().mean(-1).sqrt(), atol=1e-3, rtol=1e-3)


def test_delay_and_sum_of_a_plane_wave():
    """The wave passes as it is, noise that the microphones do not share falls by their number."""
    positions = torch.tensor([[0.0, 0.0], [0.05, 0.0], [0.1, 0.0], [0.15, 0.0]])
    frequencies = bin_frequencies(512, 16_000)
    for azimuth, reference in ((0.0, 0), (1.0, 2)):
        delays = plane_wave_delays(positions, azimuth)
        weights = delay_and_sum(delays, frequencies, reference)
        wave = steering_vectors(delays, frequencies)
        torch.testing.assert_close(response(weights, wave), wave[:, reference], atol=1e-5, rtol=0)
        torch.testing.assert_close(weights.abs().square().sum(-1), torch.full((257,), 1 / 4))
    # The closed form of what a line of microphones leaves of a wave from its side.
    aside = steering_vectors(plane_wave_delays(positions, torch.pi / 2), frequencies)
    weights = delay_and_sum(plane_wave_delays(positions, 0.0), frequencies)
    phase = torch.pi * frequencies * 0.05 / 343.0
    expected = (torch.sin(4 * phase) / (4 * torch.sin(phase))).abs()
    torch.testing.assert_close(response(weights, aside).abs()[1:], expected[1:], atol=1e-4, rtol=0)


def test_delays_that_were_estimated_will_do():
    frequencies = bin_frequencies(512, 16_000)
    delays = torch.tensor([0.0, 2.0, -3.0, 5.0]) / 16_000
    source = noise(257, 100)
    spectrum = steering_vectors(delays, frequencies).mT.unsqueeze(-1) * source
    out = beamform(delay_and_sum(gcc_phat(spectrum, 16_000), frequencies), spectrum)
    torch.testing.assert_close(out, source, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "damage", ["same channels", "all zero", "a zero channel", "no target", "no noise", "one frame", "faint", "loud"]
)
def test_any_input_gives_finite_output_and_gradients(kind, damage):
    spectrum, mask = noise(CHANNELS, FREQ, FRAMES), torch.rand(FREQ, FRAMES)
    if damage == "same channels":
        spectrum = spectrum[:1].repeat(CHANNELS, 1, 1)
    elif damage == "all zero":
        spectrum = torch.zeros_like(spectrum)
    elif damage == "a zero channel":
        spectrum[1] = 0
    elif damage == "no target":
        mask = torch.zeros_like(mask)
    elif damage == "no noise":
        mask = torch.ones_like(mask)
    elif damage == "one frame":
        spectrum, mask = spectrum[..., :1], mask[..., :1]
    elif damage == "faint":
        spectrum = 1e-7 * spectrum
    elif damage == "loud":
        spectrum = 1e6 * spectrum
    spectrum.requires_grad_()
    mask.requires_grad_()
    target, interference = spatial_covariance(spectrum, mask), spatial_covariance(spectrum, 1 - mask)
    out = beamform(beamformer_weights(kind, target, interference), spectrum)
    assert out.isfinite().all()
    out.abs().square().sum().backward()
    assert spectrum.grad.isfinite().all()
    assert mask.grad.isfinite().all()
    if damage == "same channels":
        torch.testing.assert_close(out, spectrum[0], atol=2e-3, rtol=2e-3)
    if damage in ("no target", "all zero"):
        assert (out == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_differences(kind):
    spectrum = noise(3, 1, 8).to(torch.complex128).requires_grad_()
    mask = torch.rand(1, 8, dtype=torch.float64).requires_grad_()

    def power(spectrum: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        covariances = spatial_covariance(spectrum, mask), spatial_covariance(spectrum, 1 - mask)
        return beamform(beamformer_weights(kind, *covariances), spectrum).abs().square()

    assert torch.autograd.gradcheck(power, (spectrum, mask), eps=1e-6, atol=1e-4, fast_mode=True)


def test_transfer_functions_by_subtraction_have_gradients_in_silence():
    spectrum = torch.zeros(CHANNELS, FREQ, FRAMES, dtype=torch.complex64, requires_grad=True)
    covariance = spatial_covariance(spectrum)
    weights = mvdr_rtf(transfer_by_subtraction(covariance, 0.5 * covariance), covariance)
    beamform(weights, spectrum).abs().sum().backward()
    assert spectrum.grad.isfinite().all()


def test_sources_are_broadcast():
    spectrum, masks = noise(2, CHANNELS, FREQ, FRAMES), torch.rand(2, 3, FREQ, FRAMES)
    together = spectrum.unsqueeze(1)
    weights = mvdr_souden(spatial_covariance(together, masks), spatial_covariance(together, 1 - masks))
    out = beamform(weights, together)
    assert out.shape == (2, 3, FREQ, FRAMES)
    covariances = (spatial_covariance(spectrum[1], m) for m in (masks[1, 2], 1 - masks[1, 2]))
    torch.testing.assert_close(out[1, 2], beamform(mvdr_souden(*covariances), spectrum[1]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_online_comes_to_batch(kind):
    places, voices = noise(2, FREQ, CHANNELS), noise(2, FREQ, 2000, seed=1)
    mask = torch.rand(FREQ, 2000, generator=torch.Generator().manual_seed(2))
    voices = voices * torch.stack([mask, 1 - mask])
    spectrum = torch.einsum("sfc,sft->cft", places, voices) + 0.1 * noise(CHANNELS, FREQ, 2000, seed=3)

    def weights(target: torch.Tensor, interference: torch.Tensor) -> torch.Tensor:
        return beamformer_weights(kind, target, interference)

    batch = beamform(weights(spatial_covariance(spectrum, mask), spatial_covariance(spectrum, 1 - mask)), spectrum)
    online = beamform_in_blocks(spectrum, mask, 1 - mask, 50, weights_of=weights)
    assert online.shape == batch.shape
    torch.testing.assert_close(online[..., -50:], batch[..., -50:], atol=1e-3, rtol=1e-3)
    error = (online - batch).abs().square().mean(0)
    assert error[:100].mean() > 10 * error[1000:].mean() > 0


def test_online_follows_a_target_that_moves():
    places, interferer = noise(2, FREQ, CHANNELS), noise(FREQ, CHANNELS, seed=1)
    speech, other = noise(FREQ, 1000, seed=2), noise(FREQ, 1000, seed=3)
    at = torch.cat([places[0].unsqueeze(-1).expand(-1, -1, 500), places[1].unsqueeze(-1).expand(-1, -1, 500)], -1)
    at = at.transpose(0, 1)
    first_half = (torch.arange(1000) % 50 < 25).float().expand(FREQ, -1)
    spectrum = at * speech * first_half + interferer.mT.unsqueeze(-1) * other * (1 - 0.9 * first_half)
    spectrum = spectrum + 1e-2 * noise(CHANNELS, FREQ, 1000, seed=4)
    clean = at[0] * speech * first_half

    def error(forgetting: float) -> float:
        online = BlockBeamformer(forgetting=forgetting)
        blocks = zip(*(x.split(50, -1) for x in (spectrum, first_half, 1 - first_half)), strict=True)
        out = torch.cat([online(*block) for block in blocks], -1)
        return float((out - clean)[:, 800:].abs().square().mean())

    assert error(0.98) < 0.2 * error(1.0)


def test_names_of_beamformers(scene):
    with pytest.raises(ValueError, match="beamformer is 'mpdr'; it must be one of souden, rtf, gev"):
        beamformer_weights("mpdr", scene[1], scene[2])
