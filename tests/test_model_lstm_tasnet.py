"""TasNet with LSTMs: the encoder of single segments, masks, causality, sizes, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.lstm_tasnet import BLSTMTasNet, LSTMTasNet
from avsep.models.parts.gated_encoder import GatedEncoder
from avsep.models.separators.recurrent import RecurrentSeparator

BOTH = pytest.mark.parametrize("kind", [LSTMTasNet, BLSTMTasNet])
TINY = {"filters": 12, "kernel": 10, "hidden": 6, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_segments_are_encoded_at_a_norm_of_1():
    encoder = GatedEncoder(5, 4)
    mixture = torch.randn(2, 1, 12)
    mixture[0, 0, 4:8] = 0
    weights, level = encoder(mixture)
    louder, louder_level = encoder(3 * mixture)
    torch.testing.assert_close(louder, weights)
    torch.testing.assert_close(louder_level, 3 * level)
    segment = mixture[1, 0, 8:]
    unit = segment / segment.norm()
    expected = (encoder.value.weight @ unit).relu() * (encoder.gate.weight @ unit).sigmoid()
    torch.testing.assert_close(weights[1, 2], expected)
    torch.testing.assert_close(level[1, 2], segment.norm() * expected)
    assert (weights[0, 1] == 0).all()


def test_a_segment_knows_nothing_of_the_others():
    encoder = GatedEncoder(5, 4)
    mixture = torch.randn(1, 1, 11)
    frames = encoder(mixture)[0]
    assert frames.shape == (1, 3, 5)
    torch.testing.assert_close(encoder(mixture[..., 4:8])[0], frames[:, 1:2])


def test_masks_sum_to_1():
    masks = RecurrentSeparator(8, 4, layers=3, sources=3)(torch.rand(2, 7, 8))
    assert masks.shape == (2, 3, 7, 8)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 7, 8))


def test_every_second_layer_adds_what_the_one_two_below_gave():
    separator = RecurrentSeparator(8, 4, layers=5)
    with torch.no_grad():
        for parameter in separator.layers[3].parameters():
            parameter.zero_()  # its cells give 0 then, and what comes out of it is what goes around it
    given = {}
    for number, layer in enumerate(separator.layers):
        layer.register_forward_hook(lambda module, args, out, n=number: given.update({n: (args[0], out[0])}))
    separator(torch.rand(2, 7, 8))
    assert (given[3][1] == 0).all()
    torch.testing.assert_close(given[4][0], given[1][1])
    torch.testing.assert_close(given[2][0], given[1][1])


def test_the_future_changes_nothing_before_its_segment():
    mixture = torch.randn(1, 1, 100)
    changed = mixture.clone()
    changed[..., 57:] = torch.randn(43)
    causal, whole = LSTMTasNet(**TINY).eval(), BLSTMTasNet(**TINY).eval()
    assert torch.equal(causal(mixture).estimates[..., :50], causal(changed).estimates[..., :50])
    assert not torch.equal(causal(mixture).estimates[..., 50:60], causal(changed).estimates[..., 50:60])
    assert not torch.equal(whole(mixture).estimates[..., :50], whole(changed).estimates[..., :50])


@BOTH
def test_the_level_goes_through(kind):
    model = kind(**TINY).eval()
    mixture = torch.randn(2, 1, 95)
    torch.testing.assert_close(model(0.01 * mixture).estimates, 0.01 * model(mixture).estimates)


@BOTH
@pytest.mark.parametrize("time", [1, 10, 103])
def test_length_in_is_length_out(kind, time):
    assert kind(3, **TINY).eval()(torch.randn(2, 1, time)).estimates.shape == (2, 3, 1, time)


@pytest.mark.parametrize(("kind", "millions"), [(LSTMTasNet, 32.0), (BLSTMTasNet, 23.6)])
def test_sizes_are_those_of_the_paper(kind, millions):
    """2.8 and 2.1 % below: nothing public tells where the other weights are."""
    with torch.device("meta"):
        assert kind(**kind.paper_args).parameter_count == pytest.approx(millions * 1e6, rel=0.03)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": 0}, "kernel is 0; it must be a whole number from 1 to"),
        ({"filters": -1}, "filters is -1"),
        ({"hidden": 0}, "hidden is 0"),
        ({"layers": 101}, "layers is 101; it must be a whole number from 1 to 100"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        LSTMTasNet(**TINY | changes)


@pytest.mark.slow
@BOTH
def test_it_learns_a_batch(kind):
    model = kind(filters=128, kernel=20, hidden=64, layers=2, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.25))
