"""Delay-and-sum with given, sought and estimated delays, where there are no walls."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from two_talkers import voices

from avsep.dsp.spatial import plane_wave_delays, steering_vectors
from avsep.dsp.stft import stft
from avsep.evaluation.metrics import si_sdr, snr
from avsep.models.delay_and_sum import DelayAndSum

RATE = 16_000
CIRCLE = [[0.1, 0.0], [0.05, 0.0866], [-0.05, 0.0866], [-0.1, 0.0], [-0.05, -0.0866], [0.05, -0.0866]]
DIRECTIONS = [20.0, 250.0]


def arriving(sound: Tensor, degrees: float) -> Tensor:
    """A plane wave (time,) at the circle: (microphones, time)."""
    delays = plane_wave_delays(torch.tensor(CIRCLE), torch.tensor(degrees).deg2rad())
    steering = steering_vectors(delays, torch.fft.rfftfreq(len(sound), 1 / RATE))
    return torch.fft.irfft(torch.fft.rfft(sound) * steering.mT, len(sound))


@pytest.fixture(scope="module")
def waves() -> Tensor:
    """Two talkers from their directions: (2, microphones, time)."""
    return torch.stack([arriving(torch.from_numpy(v), d) for v, d in zip(voices(3.5, 3.0), DIRECTIONS, strict=True)])


MODELS = {
    "given": {"positions": CIRCLE, "directions": DIRECTIONS},
    "sought": {"positions": CIRCLE},
    "blocks": {},
}


def leaks(waves: Tensor) -> Tensor:
    """What beams at both talkers give of them, in closed form: a_i^H a_j / microphones of talker j in beam i."""
    frequencies = torch.fft.rfftfreq(waves.shape[-1], 1 / RATE)
    delays = plane_wave_delays(torch.tensor(CIRCLE), torch.tensor(DIRECTIONS).deg2rad())
    steering = steering_vectors(delays - delays[:, :1], frequencies)
    through = torch.einsum("ifc,jfc->ijf", steering.conj(), steering) / len(CIRCLE)
    return torch.fft.irfft((through * torch.fft.rfft(waves[:, 0])).sum(1), waves.shape[-1])


@pytest.mark.parametrize("kind", MODELS)
def test_two_talkers(waves, kind):
    mixture = waves.sum(0)
    estimates = DelayAndSum(**MODELS[kind])(mixture[None]).estimates
    assert estimates.shape == (1, 2, 1, mixture.shape[-1])
    expected = leaks(waves)
    scores = snr(estimates[0].numpy(), expected[None].numpy())
    order = scores.argmax(0)
    assert sorted(order) == [0, 1]
    if kind == "given":
        assert list(order) == [0, 1]
    # Delays that were found are so near that nobody hears it.
    assert (scores.max(0) > (30 if kind == "given" else 15)).all(), scores
    talkers = waves[:, 0].numpy()
    assert (si_sdr(estimates[0, order, 0].numpy(), talkers) > si_sdr(mixture[0].numpy(), talkers) + 1).all()


def test_noise_of_the_microphones_falls_by_their_number(waves):
    noise = 0.1 * torch.randn(waves.shape[1:], generator=torch.Generator().manual_seed(0))
    model = DelayAndSum(1, CIRCLE, DIRECTIONS[:1])
    left = model((waves[0] + noise)[None]).estimates[0, 0, 0] - waves[0, 0]
    assert 10 * float((noise[0].square().mean() / left.square().mean()).log10()) == pytest.approx(7.78, abs=0.3)


def test_directions_and_delays_that_are_found(waves):
    spectrum = stft(waves.sum(0), 1024, 256)
    expected = plane_wave_delays(torch.tensor(CIRCLE), torch.tensor(DIRECTIONS).deg2rad())
    expected = expected - expected[:, :1]
    for kind in ("sought", "blocks"):
        found = DelayAndSum(**MODELS[kind]).delays(spectrum)
        found = found - found[:, :1]
        error = (found.unsqueeze(1) - expected).abs().amax(2)
        assert error.amin(0).max() < 0.5 / RATE, kind


@pytest.mark.parametrize("kind", ["silence", "one sample", "the same"])
@pytest.mark.parametrize("positions", [None, CIRCLE[:4]])
def test_any_sound_gives_finite_estimates(kind, positions):
    mixture = torch.randn(1, 1, 1 if kind == "one sample" else 4000).repeat(1, 4, 1)
    if kind == "silence":
        mixture.zero_()
    estimates = DelayAndSum(positions=positions)(mixture).estimates
    assert estimates.shape == (1, 2, 1, mixture.shape[-1])
    assert estimates.isfinite().all()


def test_arguments():
    with pytest.raises(ValueError, match="1 directions and 2 sources with positions; give the positions"):
        DelayAndSum(2, CIRCLE, [20.0])
    with pytest.raises(ValueError, match="2 directions and 2 sources without positions; give the positions"):
        DelayAndSum(2, directions=DIRECTIONS)
    for bad in ([[0.0, 0.0]], [[0.0], [0.1]], [[0.0, 0.0], [0.1, 0.0, 0.0]]):
        with pytest.raises(ValueError, match=r"positions are .*; give 2 microphones or more, each with 2 or 3"):
            DelayAndSum(positions=bad)
    with pytest.raises(ValueError, match=r"positions are .*; coordinates must be numbers in metres"):
        DelayAndSum(positions=[[0.0, 0.0], [float("nan"), 0.0]])
    with pytest.raises(
        ValueError, match=r"longest_delay is 0\.1 s; it must be above 0 and below half a window, 0\.032"
    ):
        DelayAndSum(longest_delay=0.1)
    with pytest.raises(ValueError, match=r"mixture \(1, 3, 100\); expected .* with 6 channels"):
        DelayAndSum(positions=CIRCLE)(torch.zeros(1, 3, 100))
