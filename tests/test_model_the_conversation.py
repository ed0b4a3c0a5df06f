"""The Conversation: magnitude, then phase; the rates of its towers, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import lips_of, steps_to, two_mixtures

from avsep.losses import MagnitudeAndPhase
from avsep.models.base import Contract
from avsep.models.the_conversation import PhaseNet, TheConversation, TowerBlock

LIP = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "size": 24}
TINY = {"width": 4, "phase_width": 5, "sound_blocks": 4, "lip_blocks": 1, "joint_blocks": 3, "phase_blocks": 1}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def tiny(**changes) -> TheConversation:
    return TheConversation(**TINY | {"window": 64, "hop": 32, "sample_rate": 8000, "lip": LIP} | changes).eval()


def test_towers_are_those_of_the_paper():
    """The paper gives no number of parameters."""
    with torch.device("meta"):
        model = TheConversation(**TheConversation.paper_args)
    blocks = {
        name: sum(isinstance(m, TowerBlock) for m in tower.modules())
        for name, tower in (
            ("sound", model.magnitude.sound),
            ("lips", model.magnitude.lips),
            ("joint", model.magnitude.joint),
            ("phase", model.phase.blocks),
        )
    }
    assert blocks == {"sound": 5, "lips": 10, "joint": 15, "phase": 6}
    assert model.magnitude.sound[0].weight.shape == (1536, 321, 1)
    assert model.parameter_count == 96_847_492


def test_contract():
    assert tiny().contract == Contract(8000, cues=("lips",), sources=None, order="cue", stride=32)


@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("time", [1, 333])
def test_one_estimate_for_each_face_and_the_length_stays(faces, time):
    output = tiny()(torch.randn(2, 1, time), lips=torch.rand(2, faces, 4, 96, 96))
    assert output.estimates.shape == (2, faces, 1, time)
    assert output.masks.shape == (2, faces, 33, 1 + -(-time // 32))


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_rates_of_blocks(frames):
    x = torch.randn(1, 4, frames)
    assert [TowerBlock(4, 5, rate).eval()(x).shape[2] for rate in (1, 2, -2)] == [frames, 2 * frames, -(-frames // 2)]
    # Beside the convolution the input goes on as it is.
    block = TowerBlock(4, 5, -2).eval()
    torch.nn.init.zeros_(block.body[-1].weight)
    torch.nn.init.zeros_(block.body[-1].bias)
    assert torch.equal(block(x), x[:, :, ::2])


def test_before_any_training_the_phase_is_the_mixtures_and_masks_are_in_0_to_1():
    model, mixture = tiny(), torch.randn(2, 1, 333)
    masks = model(mixture, lips=torch.rand(2, 2, 4, 96, 96)).masks
    torch.testing.assert_close(masks.imag, torch.zeros_like(masks.imag), atol=1e-5, rtol=0)
    assert masks.real.min() > 0
    assert masks.real.max() < 1


def test_the_phase_has_length_1_whatever_was_added():
    net = PhaseNet(3, 4, 5, 1).eval()
    torch.nn.init.normal_(net.residual.weight)
    noisy = torch.polar(torch.ones(2, 3, 7), torch.randn(2, 3, 7))
    found = net(noisy, torch.rand(2, 3, 7))
    torch.testing.assert_close(found.abs(), torch.ones(2, 3, 7))
    assert (found - noisy).abs().max() > 0.01


def test_estimates_go_with_their_faces_at_any_level():
    model, mixture, lips = tiny(), torch.randn(2, 1, 400), torch.rand(2, 3, 4, 96, 96)
    found = model(mixture, lips=lips).estimates
    torch.testing.assert_close(model(mixture, lips=lips[:, [2, 0, 1]]).estimates, found[:, [2, 0, 1]])
    torch.testing.assert_close(model(0.01 * mixture, lips=lips).estimates, 0.01 * found, atol=1e-5, rtol=1e-2)
    assert (found[:, 0] - found[:, 1]).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": 4}, "kernel is 4; it must be odd"),
        ({"sound_blocks": 3}, "sound_blocks is 3; it must be a whole number from 4 to 100"),
        ({"joint_blocks": 2}, "joint_blocks is 2; it must be a whole number from 3"),
        ({"power": 0.0}, "power is 0.0; it must be above 0"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.slow
def test_it_learns_a_batch():
    lip = {"channels": 16, "widths": [8, 8, 8, 8], "temporal_channels": 16, "size": 24}
    model = TheConversation(64, 64, 5, 4, 2, 6, 3, window=320, hop=80, sample_rate=8000, lip=lip)
    sources = two_mixtures(seconds=0.25)
    steps_to(12, model, MagnitudeAndPhase(), sources, 3e-3, cues={"lips": lips_of(sources, 8000)})
