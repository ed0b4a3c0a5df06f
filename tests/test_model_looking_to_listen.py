"""Looking to Listen: streams of faces with one set of weights, groups of them, complex masks, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import faces_of, steps_to, two_mixtures

from avsep.losses import CompressedSpectrum, FixedOrder, OnEstimates
from avsep.models.base import Contract
from avsep.models.looking_to_listen import FACE, SOUND, LookingToListen

TINY = {"channels": 3, "narrow": 2, "visual": 4, "hidden": 5, "dense": 6, "window": 64, "hop": 32, "points": 64}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def tiny(**changes) -> LookingToListen:
    return LookingToListen(**TINY | {"sample_rate": 8000} | changes).eval()


def cue(faces: int, pictures: int = 4, batch: int = 2) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(batch, faces, pictures, 512), dim=3)


def test_layers_are_those_of_the_paper():
    """15 convolutions over the spectrum, 6 over a face; the paper gives no number of parameters."""
    model = LookingToListen(**LookingToListen.paper_args)
    over_sound = [m for m in model.sound.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in over_sound] == [96] * 14 + [8]
    assert [m.dilation for m in over_sound[3:8]] == [(2, 1), (4, 1), (8, 1), (16, 1), (32, 1)]
    assert [m.dilation for m in over_sound[8:14]] == [(n, n) for n in (1, 2, 4, 8, 16, 32)]
    assert (len(SOUND), len(FACE)) == (14, 6)
    assert model.lstm.input_size == 8 * 257 + 2 * 256
    assert model.parameter_count == 16_716_732


def test_contract():
    assert tiny().contract == Contract(8000, cues=("face",), sources=None, order="cue", stride=32, joint=True)
    assert not tiny(faces=1).contract.joint


@pytest.mark.parametrize("faces", [1, 2, 3])
@pytest.mark.parametrize("time", [1, 333])
def test_one_estimate_for_each_face_and_the_length_stays(faces, time):
    output = tiny()(torch.randn(2, 1, time), face=cue(faces))
    assert output.estimates.shape == (2, faces, 1, time)
    assert output.masks.shape == (2, faces, 33, 1 + -(-time // 32))
    assert output.masks.is_complex()


def test_faces_share_weights_and_see_each_other():
    model, mixture, face = tiny(), torch.randn(2, 1, 400), cue(2)
    one, other = model.of_faces(face, 13)[:, 0].chunk(2, 2)
    turned = torch.cat([other, one], 2)
    torch.testing.assert_close(model.of_faces(face.flip(1), 13)[:, 0], turned)
    both, first = (model(mixture, face=100 * x).estimates for x in (face, face[:, :1]))
    assert (both[:, 0] - first[:, 0]).abs().max() > 1e-5


def test_more_faces_go_through_in_groups():
    model, mixture, face = tiny(), torch.randn(2, 1, 400), cue(5)
    together = model(mixture, face=face).estimates
    for first in (0, 2, 4):
        alone = model(mixture, face=face[:, first : first + 2]).estimates
        torch.testing.assert_close(together[:, first : first + 2], alone, atol=1e-5, rtol=1e-4)


def test_estimates_are_the_masked_spectrum_at_any_level():
    model, mixture, face = tiny(), torch.randn(2, 1, 400), cue(2)
    output, quiet = model(mixture, face=face), model(0.01 * mixture, face=face)
    torch.testing.assert_close(quiet.masks, output.masks, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(quiet.estimates, 0.01 * output.estimates, atol=1e-5, rtol=1e-3)
    with torch.no_grad():
        model.to_masks[-1].weight.zero_()
        whole = 10 * torch.tensor([0.1, 0.0]).atanh()
        model.to_masks[-1].bias.copy_(whole.repeat(2).repeat_interleave(33))
    torch.testing.assert_close(model(mixture, face=face).estimates, mixture.unsqueeze(1).expand(2, 2, 1, 400))


def test_pictures_are_spread_over_the_frames():
    model = tiny(faces=1, visual=4)
    frames = model.of_faces(cue(1, pictures=3, batch=1), 12)[0, 0]
    assert torch.equal(frames[::4].repeat_interleave(4, 0), frames)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"faces": 0}, "faces is 0; it must be a whole number from 1 to 16"),
        ({"power": 1.5}, "power is 1.5; it must be above 0 and at most 1"),
        ({"hop": 40}, "window 64 and hop 40"),
        ({"channels": 0}, "channels is 0"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.slow
def test_it_learns_a_batch():
    sources = two_mixtures(seconds=0.25)
    sizes = {"channels": 8, "narrow": 4, "visual": 32, "hidden": 64, "dense": 64}
    model = LookingToListen(2, **sizes, window=256, hop=64, points=256, sample_rate=8000)
    objective = OnEstimates(FixedOrder(CompressedSpectrum(256, 64, 256)))
    steps_to(12, model, objective, sources, 3e-3, cues={"face": faces_of(sources, 8000)})
