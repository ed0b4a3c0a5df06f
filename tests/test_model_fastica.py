"""FastICA of every frequency: instantaneous and reverberant mixtures, and the order over frequencies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_talkers import in_a_room, voices

from avsep.evaluation.metrics import si_sdr
from avsep.models.fastica import FastICA, align, components

SMALL = {"window": 512, "hop": 256, "iterations": 5}


def test_components_of_one_matrix():
    """Sources of one frequency that are mixed by a matrix come back, up to order and scale."""
    generator = torch.Generator().manual_seed(0)
    made = torch.randn(3, 1, 4000, dtype=torch.complex128, generator=generator)
    sources = made * torch.rand(3, 1, 4000, dtype=torch.float64, generator=generator) ** 3
    matrix = torch.randn(3, 3, dtype=torch.complex128, generator=generator)
    filters, back = components(torch.einsum("cs,sft->cft", matrix, sources), 3, 50)
    through = (filters[0] @ matrix).abs()
    through = through / through.amax(1, keepdim=True)
    # One source goes through each filter; the others are 20 dB below.
    assert (through > 0.1).sum() == 3
    assert sorted(through.argmax(1).tolist()) == [0, 1, 2]
    torch.testing.assert_close(back[0] @ filters[0], torch.eye(3, dtype=torch.complex128), atol=1e-9, rtol=0)


def test_order_over_frequencies():
    generator = np.random.default_rng(0)
    courses = generator.random((3, 80)) ** 4
    shares = courses + 0.05 * generator.random((40, 3, 80))
    shuffled = np.stack([generator.permutation(3) for _ in range(40)])
    given = np.take_along_axis(shares, shuffled[:, :, None], 1)
    order = align(torch.from_numpy(given)).numpy()
    found = np.take_along_axis(shuffled, order, 1)
    assert (found == found[0]).all()
    assert sorted(found[0]) == [0, 1, 2]
    assert (align(torch.ones(4, 1, 9)) == 0).all()


@pytest.mark.slow
def test_two_talkers_in_a_room():
    pytest.importorskip("pyroomacoustics")
    room = in_a_room(voices(), 3)
    mixture = room.sum(0)
    estimates = FastICA(2)(torch.from_numpy(mixture)[None]).estimates[0].numpy()
    assert estimates.shape == (2, *mixture.shape)
    for microphone in range(3):
        gains = si_sdr(estimates[:, None, microphone], room[None, :, microphone]).max(0)
        gains -= si_sdr(mixture[microphone], room[:, microphone])
        assert (gains > 10).all(), gains


@pytest.mark.parametrize("sources", [None, 2])
@pytest.mark.parametrize("kind", ["noise", "silence", "one sample", "short", "the same", "one is silent", "a gap"])
def test_any_sound_gives_finite_estimates(kind, sources):
    mixture = torch.randn(1, 4, {"one sample": 1, "short": 300}.get(kind, 6000))
    if kind == "silence":
        mixture.zero_()
    elif kind == "the same":
        mixture[:] = mixture[:, :1].clone()
    elif kind == "one is silent":
        mixture[:, 2] = 0
    elif kind == "a gap":
        mixture[..., 1000:4000] = 0
    estimates = FastICA(sources, **SMALL)(mixture).estimates
    assert estimates.shape == (1, sources or 4, *mixture.shape[1:])
    assert estimates.isfinite().all()
    if sources is None:
        torch.testing.assert_close(estimates.sum(1), mixture, atol=1e-4, rtol=0)


def test_channels_and_sources_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"mixture \(1, 1, 100\); expected \(batch, channels, time\) with 2 to 8"):
        FastICA()(torch.zeros(1, 1, 100))
    with pytest.raises(ValueError, match="sources is 9; it must be 1 to most_channels = 8, or None"):
        FastICA(sources=9)
    assert FastICA(sources=3).contract.channels == (3, 8)
