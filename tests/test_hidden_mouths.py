"""What lies before a mouth, drawn; the network that tells; and that hidden pictures count for nothing."""

import json

import numpy as np
import pytest
import torch
from data_factory import make_corpus

from avsep.checkpoint import load_model
from avsep.data.hidden_mouths import batch, shape
from avsep.faces.mouth import speaking_odds
from avsep.matching.synchrony import score_people
from avsep.matching.visible import AROUND, mouths_visible
from avsep.models.mouth_visibility import MouthVisibility
from avsep.signals import LIP_SIZE, FaceTrack, LipClip, Person
from avsep.storage.spool import Spool
from avsep.training import visibility


def track(crops: np.ndarray) -> FaceTrack:
    spool = Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8)
    spool.append(crops)
    count = len(crops)
    lips = LipClip(spool, np.ones(count, np.float32), 0)
    none = np.zeros((0, 160, 160, 3), np.uint8)
    return FaceTrack(0, np.zeros((count, 4)), np.zeros((count, 5, 2)), np.ones(count), none, 0, lips)


def grey(count: int, level: int = 120) -> np.ndarray:
    return np.full((count, LIP_SIZE, LIP_SIZE), level, np.uint8)


def test_examples_are_of_both_kinds_and_the_same_again():
    crops = list(np.random.default_rng(0).integers(0, 255, (4, LIP_SIZE, LIP_SIZE), np.uint8))
    pictures, visible = batch(crops, 24, np.random.default_rng(1))
    assert pictures.shape == (24, LIP_SIZE, LIP_SIZE)
    assert 0 <= pictures.min() < pictures.max() <= 1
    assert 4 < visible.sum() < 20
    assert torch.equal(pictures, batch(crops, 24, np.random.default_rng(1))[0])


def test_shapes_lie_before_the_mouth_or_beside_it():
    rng = np.random.default_rng(2)
    covered = np.array([shape(rng)[50:62, 36:60].mean() for _ in range(60)])
    assert (covered > 0.9).sum() > 15
    assert (covered < 0.1).sum() > 3


def test_the_network_goes_by_structure_not_by_light():
    model = MouthVisibility().eval()
    crops = torch.rand(2, 3, LIP_SIZE, LIP_SIZE)
    odds = model(crops)
    assert odds.shape == (2, 3)
    torch.testing.assert_close(model(0.5 * crops + 0.3), odds, atol=0.05, rtol=0.1)
    with pytest.raises(ValueError, match=r"crops are \(..., 96, 96\), got \(2, 64, 64\)"):
        model(torch.zeros(2, 64, 64))


class Bright(torch.nn.Module):
    """In place of the network: bright mouths are to be seen, dark ones are not."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return 40 * (crops.mean((-2, -1)) - 0.5)


def test_visibility_follows_the_pictures():
    crops = np.concatenate([grey(31, 220), grey(30, 30)])
    (found,) = mouths_visible(Bright(), [track(crops)], "cpu")
    assert found.shape == (61,)
    assert found[: 30 - AROUND].min() > 0.99
    assert found[32 + AROUND :].max() < 0.01


def test_movement_of_what_hides_a_mouth_is_no_speech_and_its_rest_no_silence():
    still = track(grey(120))
    hidden = np.zeros(120, np.float32)
    centres = np.array([10, 60, 110])
    assert (speaking_odds(still, centres) < -5).all()
    assert (speaking_odds(still, centres, hidden) == 0).all()
    assert (speaking_odds(still, centres, hidden + 1) < -5).all()


def test_hidden_pictures_take_no_part_in_the_correlation():
    rng = np.random.default_rng(3)
    sound, noise = rng.standard_normal((2, 200, 16))
    person = Person((track(grey(200)),))
    key = id(person.tracks[0])
    hidden = np.ones(200, np.float32)
    hidden[90:110] = 0
    lips = np.where(hidden[:, None] > 0, sound, 5 * noise)
    plain = score_people([person], {key: lips}, sound[:, None], np.ones((20, 1)), 0.0)
    told = score_people([person], {key: lips}, sound[:, None], np.ones((20, 1)), 0.0, {key: hidden})
    assert plain.correlation[9, 0, 0] < 0.6
    np.testing.assert_allclose(told.correlation[:, 0, 0], 1, atol=1e-5)
    assert told.visible[9, 0] == pytest.approx(30 / 50)
    assert told.visible[0, 0] == 1
    hidden[:] = 0
    told = score_people([person], {key: lips}, sound[:, None], np.ones((20, 1)), 0.0, {key: hidden})
    assert np.isnan(told.correlation).all()
    assert (told.visible == 0).all()


@pytest.mark.slow
def test_a_training_writes_weights_with_fitted_odds(tmp_path, capsys):
    make_corpus(tmp_path / "faces", ("ada", "bob", "cyd"), seconds=1.0, lips=True)
    output = tmp_path / "mouth.safetensors"
    assert visibility.main([str(tmp_path / "faces"), "--steps", "2", "-o", str(output)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"auc", "right", "slope", "bias"}
    model, card = load_model(output, "cpu")
    assert isinstance(model, MouthVisibility)
    assert card.name == "mouth"


def test_scaled_odds_are_slope_times_odds_plus_bias():
    torch.manual_seed(0)
    model = MouthVisibility().eval()
    crops = torch.rand(3, LIP_SIZE, LIP_SIZE)
    with torch.no_grad():
        before = model(crops)
        visibility.scale_odds(model, 0.5, -1.0)
        torch.testing.assert_close(model(crops), 0.5 * before - 1)
