"""What tells voices apart: its statistics, the fit to speakers, and the bundled weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from two_talkers import voices

from avsep.checkpoint import load_model, read_card
from avsep.embeddings.speaker import SAME_VOICE, alike, embed, evidence
from avsep.models.voice_statistics import VoiceStatistics
from avsep.training.speakers import calibrate, equal_error, fit, main
from preprocessing import make_smoke

N = 23 * 5 + 23 * 22 // 2 + 12 * 11 // 2


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
    assert alike(model(with_pauses).numpy(), model(x).numpy()) > 0.99
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
    assert moved[23:].mean() < 0.03


@pytest.mark.parametrize("x", [torch.zeros(1, 4000), torch.randn(1, 400), 1e-6 * torch.randn(1, 16_000)])
def test_silence_and_short_sounds_give_numbers(x):
    model = VoiceStatistics()
    torch.nn.init.normal_(model.projection)
    assert model(x).isfinite().all()
    assert model(x).shape == (1, model.size)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="coefficients is 40; it must be a whole number from 1 to 39"):
        VoiceStatistics(coefficients=40)
    with pytest.raises(ValueError, match="slopes is 24; it must be a whole number from 0 to 23"):
        VoiceStatistics(slopes=24)
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
    rate, _ = equal_error(told(model, items), speakers)
    assert rate < 0.02


def told(model: VoiceStatistics, items: np.ndarray, seconds: float = 5.0) -> np.ndarray:
    made = model.embed(model.project(torch.from_numpy(items).float()), torch.full((len(items),), seconds)).numpy()
    return evidence(made[:, None], made)


def test_evidence_is_the_ratio_of_two_normal_distributions():
    """Of one voice the two are drawn together, of two voices apart; both densities are those of scipy."""
    model = VoiceStatistics(dims=3)
    model.between.copy_(torch.tensor([0.5, 4.0, 20.0]))
    model.centre.copy_(torch.tensor([0.3, 0.0, -0.2]))
    places = np.random.default_rng(0).standard_normal((4, 3))
    made = model.embed(torch.from_numpy(places).float(), torch.ones(4)).numpy()
    centre, between = model.centre.double().numpy(), np.diag(model.between.double().numpy())
    whole = between + np.eye(3)
    together = multivariate_normal(np.tile(centre, 2), np.block([[whole, between], [between, whole]]))
    alone = multivariate_normal(centre, whole)
    for n in range(4):
        for m in range(4):
            pair = np.concatenate([places[n], places[m]])
            expected = together.logpdf(pair) - alone.logpdf(places[n]) - alone.logpdf(places[m])
            assert evidence(made[n], made[m]) == pytest.approx(expected, abs=1e-4)


def test_the_mean_of_embeddings_has_the_mean_of_their_evidence():
    model = VoiceStatistics(dims=6)
    model.calibration.copy_(torch.tensor([0.2, 0.3, 2.0, 0.1, 1.0]))
    made = model.embed(torch.randn(5, 6), torch.tensor([4.0, 4.0, 4.0, 4.0, 30.0])).numpy()
    assert evidence(made[:4].mean(axis=0), made[4]) == pytest.approx(evidence(made[:4], made[4]).mean(), abs=1e-5)
    assert evidence(made[1], made[4]) == pytest.approx(evidence(made[4], made[1]), abs=1e-5)


def test_short_speech_tells_less():
    model, _ = load_model("voice")
    one, other = (model.project(model.statistics(talker(number, 1, 3))) for number in (0, 1))
    lengths = torch.tensor([1.0, 3.0, 10.0])
    own, strange = (
        evidence(model.embed(one.expand(3, -1), lengths).numpy(), model.embed(two.expand(3, -1), lengths).numpy())
        for two in (one, other)
    )
    assert own[0] < own[1] < own[2]
    assert strange[0] > strange[1] > strange[2]


def test_the_calibration_says_how_probable_one_voice_is():
    """Speakers and items are drawn from the model itself; evidence is then as high as it is right."""
    rng = np.random.default_rng(1)
    owners = np.repeat(np.arange(90), 8)
    model = VoiceStatistics(coefficients=3, slopes=3, dims=10)
    voice = 1.5 * rng.standard_normal((90, model.count))

    def drawn() -> np.ndarray:
        return voice[owners] + rng.standard_normal((len(owners), model.count))

    statistics, fresh = drawn(), drawn()
    calibrate(model, statistics, owners, drawn(), np.full(len(owners), 4.0), owners)
    fit(model, statistics, owners)
    first, second = np.triu_indices(len(fresh), 1)
    found, same = told(model, fresh, 4.0)[first, second], (owners[:, None] == owners)[first, second]
    near = (found > 0) & (found < 2)
    # Bayes: at evidence 1 pairs of one speaker are e times as frequent as their part of all.
    odds = same[near].mean() / (1 - same[near].mean()) * (~same).sum() / same.sum()
    assert 0.3 < np.log(odds) < 2


def test_too_little_speech_gives_no_embedding():
    model = VoiceStatistics()
    found = embed(model, [np.zeros(8000, np.float32), talker(0, 1, 2)[0].numpy()])
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert embed(model, []).shape == (0, model.size)


def test_an_equal_error_rate():
    places = np.array([0, 10, 20, 90, 100, 110])
    near = -np.abs(places[:, None] - places).astype(float)
    rate, at = equal_error(near, np.array([0, 0, 0, 1, 1, 1]))
    assert rate == pytest.approx(0, abs=0.06)
    assert -70 < at <= -20
    # With the names drawn by lot nothing is told.
    assert equal_error(near, np.array([0, 1, 0, 1, 0, 1]))[0] > 0.3


def test_the_bundled_weights_know_a_voice_again():
    model, card = load_model("voice")
    assert (card.class_path, card.parameters) == (model.class_path, N * 252 + 250 * 252 + 5)
    left, right = (
        [model(talker(number, start, 3))[0].numpy() for start in starts]
        for number, starts in ((0, (0.5, 3.5)), (1, (2.4, 5.4)))
    )
    assert min(alike(*left), alike(*right)) > SAME_VOICE
    assert max(alike(a, b) for a in left for b in right) < -0.9


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
