"""Phase differences, covariances, delays and steering vectors, against closed forms and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchaudio.functional import psd

from avsep.dsp.spatial import (
    SPEED_OF_SOUND,
    RecursiveCovariance,
    bin_frequencies,
    gcc_phat,
    interchannel_phase,
    plane_wave_delays,
    point_source_delays,
    spatial_covariance,
    steering_vectors,
)
from avsep.dsp.stft import stft

RATE, WINDOW = 16_000, 512
CIRCLE = 0.05 * torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.2]])


@pytest.fixture
def spectrum() -> torch.Tensor:
    """(batch, channels, freq, frames) of noise."""
    return torch.randn(2, 4, 9, 30, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def masks() -> torch.Tensor:
    """(batch, freq, frames) in 0..1."""
    return torch.rand(2, 9, 30, generator=torch.Generator().manual_seed(1))


def delayed(delays: torch.Tensor, time: int = 8000) -> torch.Tensor:
    """Noise (channels, time) that reaches each channel so many seconds late."""
    noise = torch.randn(time, generator=torch.Generator().manual_seed(0))
    frequencies = torch.fft.rfftfreq(time, 1 / RATE)
    return torch.fft.irfft(torch.fft.rfft(noise) * steering_vectors(delays, frequencies).mT, time)


def test_covariance_is_that_of_torchaudio(spectrum, masks):
    torch.testing.assert_close(spatial_covariance(spectrum, masks), psd(spectrum, masks))
    torch.testing.assert_close(spatial_covariance(spectrum), psd(spectrum) / 30)
    several = torch.stack([masks, 1 - masks], 1)
    found = spatial_covariance(spectrum.unsqueeze(1), several)
    assert found.shape == (2, 2, 9, 4, 4)
    torch.testing.assert_close(found[:, 1], psd(spectrum, 1 - masks))
    torch.testing.assert_close(found, found.mH)


def test_covariance_without_weight_is_zero(spectrum, masks):
    masks[:, 3] = 0
    assert (spatial_covariance(spectrum, masks)[:, 3] == 0).all()


@pytest.mark.parametrize("forgetting", [1.0, 0.9])
@pytest.mark.parametrize("block", [1, 7, 30])
def test_recursive_covariance_ends_at_that_of_the_whole_signal(spectrum, masks, forgetting, block):
    recursive = RecursiveCovariance(forgetting)
    for frames, weights in zip(spectrum.split(block, -1), masks.split(block, -1), strict=True):
        last = recursive.update(frames, weights)
    faded = masks * forgetting ** torch.arange(29, -1, -1)
    torch.testing.assert_close(last, spatial_covariance(spectrum, faded))


def test_forgetting_that_is_none():
    for forgetting in (0.0, 1.1):
        with pytest.raises(ValueError, match=f"forgetting is {forgetting}; it must be above 0 and at most 1"):
            RecursiveCovariance(forgetting)


def test_phase_differences_of_a_delay():
    delay = 3 / RATE
    cosine, sine = interchannel_phase(stft(delayed(torch.tensor([0.0, delay]))))
    assert cosine.shape == sine.shape == (1, 257, 64)
    expected = -2 * torch.pi * bin_frequencies(WINDOW, RATE) * delay
    inner = slice(4, -4)
    assert (cosine[0].mean(-1) - expected.cos()).abs()[inner].max() < 0.05
    assert (sine[0].mean(-1) - expected.sin()).abs()[inner].max() < 0.05


def test_phase_differences_of_chosen_pairs_and_of_silence(spectrum):
    spectrum[:, 2] = 0
    cosine, sine = interchannel_phase(spectrum, [(0, 1), (1, 0), (1, 1), (0, 2)])
    angle = spectrum[:, 0].angle() - spectrum[:, 1].angle()
    torch.testing.assert_close(cosine[:, 0], angle.cos(), atol=1e-4, rtol=0)
    torch.testing.assert_close(sine[:, 0], angle.sin(), atol=1e-4, rtol=0)
    torch.testing.assert_close(sine[:, 1], -sine[:, 0])
    torch.testing.assert_close(cosine[:, 2], torch.ones_like(angle), atol=1e-4, rtol=0)
    assert (cosine[:, 3] == 0).all()


def test_phase_differences_have_finite_gradients_in_silence():
    spectrum = torch.zeros(1, 2, 3, 4, dtype=torch.complex64, requires_grad=True)
    sum(interchannel_phase(spectrum)).sum().backward()
    assert spectrum.grad.isfinite().all()


@pytest.mark.parametrize("mode", ["far", "near"])
def test_steering_is_that_of_pyroomacoustics(mode):
    doa = pytest.importorskip("pyroomacoustics.doa")
    azimuth, colatitude = np.array([0.3, 2.0, -1.1]), np.array([0.5, 1.5, 2.5])
    grid = doa.grid.GridSphere(spherical_points=np.stack([azimuth, colatitude]))
    theirs = doa.doa.ModeVector(CIRCLE.double().numpy().T, RATE, WINDOW, SPEED_OF_SOUND, grid, mode, precompute=True)
    positions = CIRCLE.double()
    if mode == "far":
        elevation = np.pi / 2 - colatitude
        delays = plane_wave_delays(positions, torch.from_numpy(azimuth), torch.from_numpy(elevation))
        expected = theirs.mode_vec
    else:
        places = torch.from_numpy(np.stack([grid.x, grid.y, grid.z], 1))
        delays = point_source_delays(positions, places)
        expected = theirs.mode_vec.conj()  # whose sign of the time is the other one there
    ours = steering_vectors(delays, bin_frequencies(WINDOW, RATE))
    np.testing.assert_allclose(ours.numpy().transpose(1, 2, 0), expected, atol=1e-5)


def test_delays_of_directions_and_places():
    delays = plane_wave_delays(CIRCLE, torch.tensor([0.0, torch.pi / 2]))
    torch.testing.assert_close(delays[:, 0], torch.tensor([-0.05, 0.0]) / SPEED_OF_SOUND, atol=1e-8, rtol=0)
    # Coordinates in the plane have a height of 0; what is far comes as a plane wave.
    far = point_source_delays(CIRCLE[:, :2].double(), torch.tensor([0.0, 1e4], dtype=torch.float64))
    wave = plane_wave_delays(CIRCLE[:, :2].double(), torch.pi / 2)
    torch.testing.assert_close(far - far[0], wave - wave[0], atol=1e-8, rtol=0)
    with pytest.raises(ValueError, match=r"places \(4, 1\); expected \(..., 2\) or \(..., 3\), coordinates in metres"):
        plane_wave_delays(CIRCLE[:, :1], 0.0)


def test_delays_by_cross_correlation():
    delays = torch.tensor([0.0, 2.5, -7.25, 4.0]) / RATE
    spectrum = stft(delayed(delays))
    torch.testing.assert_close(gcc_phat(spectrum, RATE), delays, atol=0.5 / 16 / RATE, rtol=0)
    relative = gcc_phat(spectrum, RATE, reference=2)
    torch.testing.assert_close(relative, delays - delays[2], atol=0.5 / 16 / RATE, rtol=0)


def test_a_mask_tells_whose_delays_they_are():
    first = stft(delayed(torch.tensor([0.0, 4.0]) / RATE))
    second = stft(delayed(torch.tensor([0.0, -6.0]) / RATE).roll(99, -1))
    owner = torch.zeros(257, 63 + 1)
    owner[:, :20] = 1
    spectrum = torch.where(owner > 0, first, second)
    found = gcc_phat(spectrum, RATE, torch.stack([owner, 1 - owner]).unsqueeze(1)[:, 0])
    torch.testing.assert_close(found[:, 1] * RATE, torch.tensor([4.0, -6.0]), atol=0.05, rtol=0)


def test_delays_of_silent_channels_and_bad_bounds():
    assert (gcc_phat(torch.zeros(3, 257, 10, dtype=torch.complex64), RATE) == 0).all()
    with pytest.raises(ValueError, match="longest is 0 s and points 16; both must be above 0"):
        gcc_phat(torch.zeros(3, 257, 10, dtype=torch.complex64), RATE, longest=0)
