"""Masks from directions: complex angular central Gaussian mixtures with known activities."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from avsep.dsp.cacgmm import AngularMixture, fit_cacgmm

FREQ, CHANNELS, FRAMES = 6, 4, 300


@dataclass(frozen=True, eq=False)
class Scene:
    """Bins (channels, freq, frames), which class is loudest in each (freq, frames), and activity (classes, frames)."""

    bins: Tensor
    loudest: Tensor
    activity: Tensor


def scene(spans: tuple[tuple[int, int], ...] = ((0, 200), (100, 300)), noise: float = 0.03, seed: int = 0) -> Scene:
    """Sparse sources, each from one direction of its own in each frequency, in its span of frames, and noise."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.complex64, generator=generator)

    classes = len(spans)
    activity = torch.zeros(classes, FRAMES)
    for row, (start, stop) in zip(activity, spans, strict=True):
        row[start:stop] = 1
    # In each bin at most one of those who speak is loud, as with speech.
    who = (activity * torch.rand(FREQ, classes, FRAMES, generator=generator)).argmax(1)
    sounds = (torch.rand(FREQ, FRAMES, generator=generator) > 0.3) & (activity.sum(0) > 0)
    directions = drawn(classes, CHANNELS, FREQ)
    loud = drawn(FREQ, FRAMES) * sounds
    bins = torch.stack([directions[who[f], :, f].T * loud[f] for f in range(FREQ)], 1)
    loudest = torch.where(sounds, who, classes)
    return Scene(bins + noise * drawn(CHANNELS, FREQ, FRAMES), loudest, activity)


def right(found: AngularMixture, made: Scene) -> float:
    """Part of the bins whose likeliest class is the true one."""
    return float((found.posteriors.argmax(1) == made.loudest).float().mean())


@pytest.mark.parametrize("weights", ["frequency", "frame"])
def test_classes_are_recovered_in_every_frequency(weights):
    made = scene()
    found = fit_cacgmm(made.bins, made.activity, 30, weights)
    assert found.posteriors.shape == (FREQ, 3, FRAMES)
    torch.testing.assert_close(found.posteriors.sum(1), torch.ones(FREQ, FRAMES))
    for f in range(FREQ):
        assert (found.posteriors[f].argmax(0) == made.loudest[f]).float().mean() > 0.95


def test_a_person_who_is_never_active_alone_has_a_mask():
    made = scene(((0, 300), (80, 220)))
    found = fit_cacgmm(made.bins, made.activity, 30)
    assert found.posteriors[:, 1][made.loudest == 1].mean() > 0.9
    assert right(found, made) > 0.95


def test_soft_activities_guide_too():
    made = scene()
    generator = torch.Generator().manual_seed(1)
    soft = (0.2 + 0.6 * made.activity + 0.2 * torch.rand(made.activity.shape, generator=generator)).clamp(0, 1)
    assert right(fit_cacgmm(made.bins, soft, 50), made) > 0.95


@pytest.mark.parametrize("weights", ["frequency", "given"])
def test_poor_masks_as_activities_of_bins_become_better_ones(weights):
    made = scene()
    generator = torch.Generator().manual_seed(1)
    true = torch.nn.functional.one_hot(made.loudest, 3).permute(2, 0, 1).float()
    poor = true + 1.5 * torch.rand(true.shape, generator=generator)
    poor = poor / poor.sum(0)
    before = float((poor.argmax(0) == made.loudest).float().mean())
    found = fit_cacgmm(made.bins, poor[:2], 12, weights, noise=poor[2])
    assert before < 0.9
    assert right(found, made) > 0.97


@pytest.mark.parametrize("weights", ["frequency", "frame"])
def test_the_likelihood_never_falls(weights):
    made = scene(noise=0.3)
    history = fit_cacgmm(made.bins.to(torch.complex128), made.activity, 25, weights).log_likelihood
    assert history[-1] > history[0] + 0.1
    assert (history.diff() > -1e-9).all(), history


def test_where_nobody_is_active_all_is_noise_and_who_never_is_has_no_mask():
    made = scene(((0, 100), (0, 100), (0, 0)))
    posteriors = fit_cacgmm(made.bins, made.activity).posteriors
    assert not posteriors[:, 2].any()
    assert (posteriors[:, :3, 100:] == 0).all()
    torch.testing.assert_close(posteriors[:, 3, 100:], torch.ones(FREQ, 200))


def test_neither_the_order_of_channels_nor_the_level_counts():
    made = scene()
    expected = fit_cacgmm(made.bins, made.activity).posteriors
    for bins in (made.bins[[2, 0, 3, 1]], 1e-15 * made.bins, 1e15 * made.bins):
        torch.testing.assert_close(fit_cacgmm(bins, made.activity).posteriors, expected, atol=1e-3, rtol=0)
    # Nor the level of each bin for itself: only the direction tells.
    levels = torch.rand(FREQ, FRAMES, generator=torch.Generator().manual_seed(1)) + 0.01
    torch.testing.assert_close(fit_cacgmm(levels * made.bins, made.activity).posteriors, expected, atol=1e-3, rtol=0)


def test_the_order_of_classes_does_not_count():
    made = scene()
    expected = fit_cacgmm(made.bins, made.activity).posteriors
    found = fit_cacgmm(made.bins, made.activity.flip(0)).posteriors
    torch.testing.assert_close(found[:, [1, 0, 2]], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("weights", ["frequency", "frame"])
@pytest.mark.parametrize(
    "kind", ["silence", "a gap", "the same", "one is silent", "one frame", "one channel", "no noise", "nobody", "loud"]
)
def test_any_input_gives_finite_masks(kind, weights):
    made = scene(noise=0.0 if kind == "no noise" else 0.03)
    bins, activity = made.bins.clone(), made.activity
    if kind == "silence":
        bins.zero_()
    elif kind == "a gap":
        bins[..., 50:250] = 0
    elif kind == "the same":
        bins[:] = bins[:1].clone()
    elif kind == "one is silent":
        bins[2] = 0
    elif kind == "one frame":
        bins, activity = bins[..., :1], activity[:, :1]
    elif kind == "one channel":
        bins = bins[:1]
    elif kind == "nobody":
        activity = activity[:0]
    elif kind == "loud":
        bins *= 1e18
    found = fit_cacgmm(bins, activity, 10, weights)
    assert found.posteriors.isfinite().all()
    assert found.shapes.isfinite().all()
    assert found.log_likelihood.isfinite().all()
    torch.testing.assert_close(found.posteriors.sum(1), torch.ones(FREQ, bins.shape[2]))
    if kind == "silence":
        # A bin without sound says nothing: the prior stays.
        torch.testing.assert_close(found.posteriors[:, 0, :100], torch.full((FREQ, 100), 0.5))


def test_wrong_arguments_are_told():
    made = scene()
    with pytest.raises(
        ValueError, match=r"bins \(6, 300\) torch.complex64; expected complex \(channels, freq, frames\)"
    ):
        fit_cacgmm(made.bins[0], made.activity)
    with pytest.raises(ValueError, match=r"activity \(2, 10\); expected .* with 6 frequencies and 300 frames"):
        fit_cacgmm(made.bins, made.activity[:, :10])
    with pytest.raises(ValueError, match=r"activity from 0 to 2; expected 0\.\.1"):
        fit_cacgmm(made.bins, 2 * made.activity)
    with pytest.raises(ValueError, match="iterations is 0; it must be 1 or more"):
        fit_cacgmm(made.bins, made.activity, 0)
    with pytest.raises(ValueError, match="weights is 'x'; expected one of frequency, frame"):
        fit_cacgmm(made.bins, made.activity, weights="x")
