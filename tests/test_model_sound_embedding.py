"""Embeddings of sounds: the soft-OR against probabilities multiplied out, shapes, and oracles."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
import torch

from avsep.models.parts.sound_embedding import SoundEmbedding, average, soft_or
from avsep.models.sound_classifier import SoundClassifier

TINY = {"classes": 3, "channels": [4] * 11}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def brute_soft_or(logits: list[float]) -> float:
    """By the definition, in 200 digits: 1 - prod(1 - p), back to a logit."""
    with localcontext() as context:
        context.prec = 200
        absent = Decimal(1)
        for x in logits:
            absent *= 1 - 1 / (1 + (-Decimal(x)).exp())
        return float(((1 - absent) / absent).ln())


LOGITS = [
    [80.0, 80.0],
    [-80.0, -80.0],
    [80.0, -80.0],
    [-80.0, -80.0, -80.0, -80.0],
    [80.0, 80.0, 80.0, 80.0],
    [0.0, 0.0],
    [-15.0, -15.1],
    [-14.9, -16.0, -3.0],
    [3.0, -2.0, 0.5, -7.0],
    [-100.0, -200.0],
    [1.5],
]


@pytest.mark.parametrize("values", LOGITS, ids=str)
def test_soft_or_is_the_probability_that_one_is_there(values):
    x = torch.tensor(values, requires_grad=True)
    found = soft_or(x[None, :, None])
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(brute_soft_or(values), rel=1e-5, abs=1e-5)
    found.sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad >= 0).all()


def test_soft_or_of_random_logits_in_probabilities():
    logits = 4 * torch.randn(5, 3, 7, 11, dtype=torch.float64)
    direct = 1 - (1 - logits.sigmoid()).prod(1)
    assert torch.allclose(soft_or(logits).sigmoid().double(), direct, atol=1e-6)
    # Half precision goes in as it is; certainty does not round to infinity.
    assert soft_or(torch.full((1, 4, 1), 80.0, dtype=torch.bfloat16)).isfinite().all()


def test_the_average_is_that_of_probabilities():
    logits = 3 * torch.randn(2, 50, 4)
    assert torch.allclose(average(logits).sigmoid(), logits.sigmoid().mean(1, keepdim=True), atol=1e-6)
    far = torch.tensor([80.0, -80.0]).repeat(10, 1)
    assert torch.allclose(average(far), far[:1])


@torch.inference_mode()
@pytest.mark.parametrize("averaged", [False, True])
def test_embeddings_are_the_classifiers_logits(averaged):
    model = SoundClassifier(**TINY).eval()
    clean = 0.1 * torch.randn(2, 4, 16_000)
    mixture = clean.sum(1)

    def of(waveform: torch.Tensor) -> torch.Tensor:
        logits = model(waveform)
        return average(logits) if averaged else logits

    def embedding(kind: str) -> tuple[torch.Tensor, int]:
        part = SoundEmbedding(model, kind, oracle=True, time_varying=not averaged)
        return part(mixture, clean)[0], part.classes(4)

    frames = 1 if averaged else 101
    assert torch.allclose(embedding("mixture")[0], of(mixture), atol=1e-5)
    everything, size = embedding("all")
    assert everything.shape == (2, frames, size) == (2, frames, 15)
    for place, sound in enumerate([mixture, *clean.unbind(1)]):
        assert torch.allclose(everything[..., 3 * place : 3 * place + 3], of(sound), atol=1e-5)
    either, size = embedding("soft_or")
    assert either.shape == (2, frames, size) == (2, frames, 3)
    direct = soft_or(torch.stack([model(sound) for sound in clean.unbind(1)], 1))
    assert torch.allclose(either, average(direct) if averaged else direct, atol=1e-4)


def test_gradients_reach_the_estimates():
    model = SoundClassifier(**TINY).eval()
    estimates = (0.1 * torch.randn(1, 2, 16_000)).requires_grad_()
    for kind in ("all", "soft_or"):
        estimates.grad = None
        SoundEmbedding(model, kind)(estimates.detach().sum(1), estimates)[0].sum().backward()
        assert estimates.grad.abs().sum() > 0
