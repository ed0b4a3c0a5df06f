"""Guided source separation: what speaking times and several microphones give, without any weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_talkers import in_a_room, voices

from avsep.evaluation.metrics import si_sdr
from avsep.inference.sliding import SlidingSeparator
from avsep.models.gss import GuidedSourceSeparation
from avsep.modes.guided import Activity
from avsep.storage.recording import Recording

TURNS = ((0.3, 7.5), (2.4, 8.6))
"""Of the two voices, in seconds."""


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """(2 talkers, 4 microphones, time)."""
    pytest.importorskip("pyroomacoustics")
    return in_a_room(voices(), 4)


@pytest.fixture(scope="module")
def turns() -> np.ndarray:
    """(2 talkers, pictures)."""
    activity = np.zeros((2, 215), np.float32)
    for row, (start, stop) in zip(activity, TURNS, strict=True):
        row[round(25 * start) : round(25 * stop)] = 1
    return activity


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def separated(mixture: np.ndarray, activity: np.ndarray, **settings: int) -> np.ndarray:
    given = torch.from_numpy(mixture)[None], torch.from_numpy(activity)[None]
    return GuidedSourceSeparation(**settings)(given[0], activity=given[1]).estimates[0].numpy()


@pytest.mark.slow
def test_two_talkers_in_a_room(room, turns):
    mixture = room.sum(0)
    estimates = separated(mixture, turns)
    assert estimates.shape == room.shape
    for microphone in range(4):
        gains = si_sdr(estimates[:, microphone], room[:, microphone]) - si_sdr(mixture[microphone], room[:, microphone])
        assert (gains > 8).all(), gains
    # Who does not speak is silent.
    assert np.abs(estimates[0, :, 16_000 * 8 :]).max() < 1e-3
    assert np.abs(estimates[1, :, : 16_000 * 2]).max() < 1e-3


@pytest.mark.slow
def test_estimates_follow_their_microphones_and_turns(room, turns):
    mixture = room.sum(0)[:, 32_000:80_000] + 1e-3 * noise(4, 48_000).numpy()
    activity = turns[:, 50:125]
    expected = separated(mixture, activity, iterations=5)
    order = [2, 0, 3, 1]
    assert (si_sdr(separated(mixture[order], activity, iterations=5), expected[:, order]) > 30).all()
    assert (si_sdr(separated(mixture, activity[::-1].copy(), iterations=5), expected[::-1]) > 30).all()


@pytest.mark.parametrize("kind", ["silence", "one sample", "the same", "one is silent", "nobody", "one never speaks"])
def test_any_sound_gives_finite_estimates(kind):
    time = 1 if kind == "one sample" else 8000
    mixture, activity = noise(1, 3, time), torch.ones(1, 2, -(-time // 640))
    if kind == "silence":
        mixture.zero_()
    elif kind == "the same":
        mixture[:] = mixture[:, :1].clone()
    elif kind == "one is silent":
        mixture[:, 1] = 0
    elif kind == "nobody":
        activity = activity[:, :0]
    elif kind == "one never speaks":
        activity[:, 1] = 0
    estimates = GuidedSourceSeparation(iterations=3)(mixture, activity=activity).estimates
    assert estimates.shape == (1, activity.shape[1], 3, time)
    assert estimates.isfinite().all()
    if kind == "one never speaks":
        assert not estimates[:, 1].any()


def test_a_long_recording_goes_in_segments():
    """Five people, all of them in one batch: one cue tells of the others."""
    model = GuidedSourceSeparation(window=256, hop=128, iterations=2, segment_seconds=2.0)
    mixture = Recording.of(noise(2, 5 * 16_000).numpy(), 16_000)
    activity = np.zeros((5, 125), np.float32)
    for person, row in enumerate(activity):
        row[25 * person : 25 * person + 25] = 1
    estimates = SlidingSeparator(model, overlap_seconds=0.5).separate(mixture, Activity(activity))
    assert (estimates.count, estimates.channels, len(estimates)) == (5, 2, 5 * 16_000)
    found = np.square(estimates.read(0, len(estimates))).mean(axis=1).reshape(5, 5, 16_000).mean(axis=2)
    assert (found.diagonal() > 0.01).all()
    # Beyond the reach of a window nobody is in another's second.
    assert (found - np.diag(found.diagonal()) < 0.01).all()


def test_wrong_cues_are_told():
    with pytest.raises(ValueError, match=r"activity \(1, 10\); expected \(1, people, pictures\)"):
        GuidedSourceSeparation()(noise(1, 2, 6400), activity=torch.ones(1, 10))
