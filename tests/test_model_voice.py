"""What tells voices apart: its statistics, the fit to speakers, and the bundled weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from two_talkers import voices

from avsep.checkpoint import load_model, read_card
from avsep.embeddings.speaker import SAME_VOICE
from avsep.models.voice_statistics import VoiceStatistics
from avsep.training.speakers import equal_error, fit, main
from preprocessing import make_smoke

N = 23 * 3 + 23 * 22 // 2


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def talker(number: int, start: float, seconds: float) -> torch.Tensor:
    return torch.from_numpy(voices(start, seconds)[number])[None]


def test_the_level_says_nothing():
    model, x = VoiceStatistics(), talker(0, 1, 3)
    assert model.statistics(x).shape == (1, N)
    assert torch.allclose(model.statistics(0.01 * x), model.statistics(x), atol=1e-3)


def test_pauses_take_no_part():
    (model, _), x = load_model("voice"), talker(0, 1, 3)
    with_pauses = torch.nn.functional.pad(x, (16_000, 32_000))
    assert (model(with_pauses) * model(x)).sum() > 0.95
    apart = (model.statistics(with_pauses) - model.statistics(x))[0].abs() / model.scale
    assert apart.mean() < 0.1


def test_cepstra_are_an_orthonormal_transform_of_the_bands():
    model = VoiceStatistics(mels=40, coefficients=39)
    assert torch.allclose(model.cosines @ model.cosines.T, torch.eye(39), atol=1e-5)
    # The mean, which is the level, is in none of them.
    assert (model.cosines @ torch.ones(40)).abs().max() < 1e-5


def test_a_steady_filter_moves_the_means_alone():
    """What a microphone does to every frame is a constant in the log spectrum."""
    model, x = VoiceStatistics(), talker(0, 1, 3)
    taps = torch.tensor([[[0.5, 1.0]]])
    filtered = torch.nn.functional.conv1d(x[None], taps)[0]
    moved = (model.statistics(filtered) - model.statistics(x))[0].abs()
    assert moved[:23].max() > 0.3
    assert moved[23:].mean() < 0.02


@pytest.mark.parametrize("x", [torch.zeros(1, 4000), torch.randn(1, 400), 1e-6 * torch.randn(1, 16_000)])
def test_silence_and_short_sounds_give_numbers(x):
    model = VoiceStatistics()
    torch.nn.init.normal_(model.projection)
    assert model(x).isfinite().all()
    assert model(x).norm() == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="coefficients is 40; it must be a whole number from 1 to 39"):
        VoiceStatistics(coefficients=40)
    with pytest.raises(ValueError, match=f"dims is {N + 1}"):
        VoiceStatistics(dims=N + 1)


def test_the_fit_finds_what_speakers_differ_in():
    """Ten of the statistics belong to the speaker; the others are drawn anew for every item, and larger."""
    rng = np.random.default_rng(0)
    speakers = np.repeat(np.arange(60), 8)
    items = 3 * rng.standard_normal((len(speakers), N)) + 5
    items[:, :10] = rng.standard_normal((60, 10))[speakers] + 0.2 * rng.standard_normal((len(speakers), 10))
    model = VoiceStatistics(dims=10)
    fit(model, items, speakers)
    weight = model.projection.norm(dim=1)
    assert weight[:10].min() > 5 * weight[10:].max()
    made = (torch.from_numpy(items).float() - model.mean) / model.scale @ model.projection
    rate, _ = equal_error(torch.nn.functional.normalize(made, dim=1).numpy(), speakers)
    assert rate < 0.02


def test_an_equal_error_rate():
    angles = np.radians([0, 10, 20, 90, 100, 110])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1)
    rate, cosine = equal_error(embeddings, np.array([0, 0, 0, 1, 1, 1]))
    assert rate == pytest.approx(0, abs=0.06)
    assert np.cos(np.radians(70)) < cosine <= np.cos(np.radians(20)) + 1e-9
    # With the names drawn by lot nothing is told.
    assert equal_error(embeddings, np.array([0, 1, 0, 1, 0, 1]))[0] > 0.3


def test_the_bundled_weights_know_a_voice_again():
    model, card = load_model("voice")
    assert (card.class_path, card.parameters) == (model.class_path, N * 96 + 2 * N)
    left, right = (
        [model(talker(number, start, 3))[0] for start in starts]
        for number, starts in ((0, (0.5, 3.5)), (1, (2.4, 5.4)))
    )
    assert min(left[0] @ left[1], right[0] @ right[1]) > SAME_VOICE
    assert max(a @ b for a in left for b in right) < SAME_VOICE


@pytest.mark.slow
def test_the_program_fits_and_writes_weights(tmp_path, capsys):
    make_smoke.make(tmp_path / "smoke", talkers=8, utterances=3, seconds=3.0, seed=0)
    out = tmp_path / "mine.safetensors"
    arguments = [str(tmp_path / "smoke/manifest.tsv"), "--items", "60", "--seconds", "2", "--dims", "4", "-o", str(out)]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert 0 <= told["equal_error_rate"] < 0.4
    assert read_card(out).init_args["dims"] == 4
    assert load_model(out)[0].projection.abs().sum() > 0
    assert main([str(tmp_path / "nothing.tsv")]) == 1
    assert "nothing.tsv" in capsys.readouterr().err
