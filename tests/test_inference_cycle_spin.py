"""Cycle spinning: chance is averaged out, what was right stays, and every source keeps its place."""

import numpy as np
import pytest
import torch

from avsep.checkpoint import load_model
from avsep.inference.cycle_spin import cycle_spin

STRIDE = 64


@pytest.fixture
def mixture() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, 5000)).astype(np.float32)


@pytest.mark.parametrize("shifts", [1, 2, 4])
def test_a_separator_without_chance_stays_as_it_is(mixture, shifts):
    found = cycle_spin(lambda x: np.stack([1.25 * x, -0.25 * x]), mixture, shifts, STRIDE, True)
    np.testing.assert_allclose(found, [1.25 * mixture, -0.25 * mixture], atol=1e-6)
    assert found.dtype == np.float32


def test_what_hangs_on_polarity_or_on_the_frames_goes(mixture):
    polarity = cycle_spin(lambda x: x[None] + np.float32(0.1), mixture, 2, STRIDE, True)
    np.testing.assert_allclose(polarity, mixture[None], atol=1e-6)
    # Every fourth of the cycle another gain, as where a frame ends.
    for stride in (16, 64, 160):
        gains = np.repeat([0.7, 0.9, 1.1, 1.3], stride // 4).astype(np.float32)
        frames = cycle_spin(lambda x, g=gains: (x * np.resize(g, x.shape[-1]))[None], mixture, 4, stride, True)
        np.testing.assert_allclose(frames, mixture[None], atol=1e-6)


def test_sources_that_come_in_another_order_are_put_back(mixture):
    voices = np.random.default_rng(1).standard_normal((3, 1, 5000)).astype(np.float32)
    calls = 0

    def separate(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        late, polarity = x.shape[-1] - 5000, (-1) ** (calls - 1)
        return np.roll(polarity * np.pad(voices, ((0, 0), (0, 0), (late, 0))), calls, axis=0)

    found = cycle_spin(separate, mixture, 3, STRIDE, True)
    assert calls == 3
    np.testing.assert_allclose(found, np.roll(voices, 1, axis=0), atol=1e-6)


def test_several_channels_are_shifted_together(mixture):
    shapes = []

    def separate(x: np.ndarray) -> np.ndarray:
        shapes.append(x.shape)
        return (x[:1] - x[1:])[None]

    both = np.concatenate([mixture, 0.5 * mixture])
    np.testing.assert_allclose(cycle_spin(separate, both, 2, STRIDE, True), 0.5 * mixture[None], atol=1e-6)
    assert shapes == [(2, 5000), (2, 5000 + STRIDE // 2)]


def test_the_bundled_model_does_depend_on_the_polarity(mixture):
    model, _ = load_model("audio-2spk")

    @torch.inference_mode()
    def separate(x: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(x)[None]).estimates[0].numpy()

    once, turned = separate(mixture), -separate(-mixture)
    assert np.abs(once - turned).max() > 0.01 * np.abs(once).max()
    spun = cycle_spin(separate, mixture, 4, model.contract.stride, True)
    assert spun.shape == once.shape


def test_sources_in_a_given_order_are_never_reordered(mixture):
    calls = []

    def separate(x: np.ndarray) -> np.ndarray:
        calls.append(x.shape)
        # The second pass gives the sources the other way round: a model with an order answers for it.
        return np.stack([x, 0 * x]) if len(calls) == 1 else np.stack([0 * x, x])

    found = cycle_spin(separate, mixture, 2, STRIDE, False)
    np.testing.assert_allclose(found, [0.5 * mixture, 0.5 * mixture], atol=1e-6)
