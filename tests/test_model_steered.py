"""SteeredTasNet: streams that lips or, in training, vague embeddings of voices sort and steer."""

from __future__ import annotations

import pytest
import torch

from avsep.checkpoint import load_model, save_model
from avsep.models.parts.lip_likeness import LipLikeness, standard
from avsep.models.split_tasnet import SplitTasNet
from avsep.models.steered_tasnet import SteeredTasNet
from avsep.models.synchrony import Synchrony, correlation
from avsep.training.warm_start import StartFrom, begin_with

SIZES = {"window": 64, "stride": 16, "channels": 8, "hidden": 12, "blocks": 3}


def synchrony() -> Synchrony:
    lip = {"channels": 6, "widths": [4, 4, 4, 4], "temporal_channels": 4, "temporal_blocks": 1, "size": 24}
    return Synchrony(lip, {"channels": 6, "width": 8, "temporal_blocks": 0, "mels": 20})


def steered(**options) -> SteeredTasNet:
    torch.manual_seed(0)
    model = SteeredTasNet(synchrony(), **(SIZES | options))
    torch.nn.init.normal_(model.fusion.project.weight)
    for name, parameter in model.steered.named_parameters():
        if name.endswith("weight") and not parameter.any():
            torch.nn.init.normal_(parameter)
    return model


def cue(model: SteeredTasNet, sources: int, pictures: int = 10) -> dict[str, torch.Tensor]:
    if model.likeness is None:
        return {"lips": torch.rand(2, sources, pictures, 32, 32)}
    return {"sources": torch.randn(2, sources, 1, pictures * 640 - 100)}


@pytest.mark.parametrize("likeness", [None, LipLikeness()])
@pytest.mark.parametrize("sources", [1, 4])
def test_one_estimate_for_each_cue(likeness, sources):
    model = steered(likeness=likeness).train()
    output = model(torch.randn(2, 1, 6300), **cue(model, sources))
    # In training without lips some of the people are not to be seen.
    shown = output.estimates.shape[1]
    assert shown == sources if likeness is None else 1 <= shown <= sources
    assert output.estimates.shape == (2, shown, 1, 6300)
    assert model.contract.cues == ("lips",) if likeness is None else ("sources",)
    assert (model.contract.order, model.contract.sources, model.contract.joint) == ("cue", None, True)
    output.estimates.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("synchrony."), name


def test_estimates_go_with_their_cues():
    model = steered().eval()
    mixture, lips = torch.randn(2, 1, 6400), cue(model, 3)["lips"]
    with torch.no_grad():
        found, turned = (model(mixture, lips=x).estimates for x in (lips, lips[:, [2, 0, 1]]))
        others = model(mixture, lips=torch.cat([lips[:, :1], torch.rand_like(lips[:, 1:])], 1)).estimates
    torch.testing.assert_close(turned, found[:, [2, 0, 1]])
    assert (found[:, 0] - found[:, 1]).abs().max() > 1e-3
    assert not torch.allclose(others[:, 0], found[:, 0]), "the streams do not look at each other"


def test_before_any_training_faces_have_what_was_separated_sorted_by_the_lips():
    torch.manual_seed(0)
    model = SteeredTasNet(synchrony(), **SIZES).eval()
    blind = SplitTasNet(3, **SIZES).eval()
    blind.separator = model.separator
    model.slopes.data.fill_(1000)
    mixture = torch.randn(1, 1, 6400)
    with torch.no_grad():
        by_sound = blind(mixture).estimates
        seen = model.voices(by_sound[:, :, 0])[:, [2, 0]]
        model.embeddings = lambda cue: seen
        model.fusion.project.weight[:, SIZES["channels"] :] = 0
        found = model(mixture, lips=torch.zeros(1, 2, 10, 8, 8)).estimates
    torch.testing.assert_close(found, by_sound[:, [2, 0]], atol=1e-4, rtol=1e-3)


def test_lips_and_voices_are_compared_around_every_picture():
    model = steered()
    voices = standard(torch.randn(1, 2, 300, 6))
    faces = torch.cat([voices[:, :1, :150], voices[:, 1:, 150:]], 2)
    together = model.together(faces, voices)
    assert together.shape == (1, 1, 2, 3, 300)
    torch.testing.assert_close(together[0, 0, 0, :, :80], torch.ones(3, 80), atol=1e-3, rtol=0)
    torch.testing.assert_close(together[0, 0, 1, :, -80:], torch.ones(3, 80), atol=1e-3, rtol=0)
    shares = model.shares(together)
    torch.testing.assert_close(shares.sum(2), torch.ones(1, 1, 300))
    assert shares[0, 0, 0, :130].min() > 0.9
    assert shares[0, 0, 1, 170:].min() > 0.9


def test_faces_share_out_the_sources():
    together = torch.tensor([[0.6, 0.1], [0.5, 0.1]])[None, :, :, None, None].expand(1, 2, 2, 3, 1)
    shares = steered().shares(together)[0, :, :, 0]
    assert shares[0, 0] > 0.5 > shares[1, 0], "the first goes rather with the first face"


def test_it_begins_with_a_separator_that_knows_no_lips_and_goes_on_with_lips(tmp_path):
    torch.manual_seed(1)
    blind, by_voices, by_lips = SplitTasNet(3, **SIZES), steered(likeness=LipLikeness()), steered()
    save_model(tmp_path / "blind.safetensors", blind, "blind", "MIT", {}, half=False)
    taken = begin_with(by_voices, [StartFrom(str(tmp_path / "blind.safetensors"), {"separator": "separator"})])
    assert set(taken) == {f"separator.{name}" for name in by_voices.separator.state_dict()}
    torch.testing.assert_close(by_voices.separator.split[1].weight, blind.separator.split[1].weight)
    torch.testing.assert_close(by_voices.separator.parted.state_dict(), blind.separator.parted.state_dict())
    torch.nn.init.normal_(by_voices.rest)
    save_model(tmp_path / "voices.safetensors", by_voices, "voices", "MIT", {}, half=False)
    assert len(begin_with(by_lips, [StartFrom(str(tmp_path / "voices.safetensors"), {"": ""})])) > len(taken)
    torch.testing.assert_close(by_lips.state_dict(), by_voices.state_dict())


def test_a_weights_file_gives_the_same_model(tmp_path):
    model = steered(likeness=LipLikeness((0.2, 0.8), jitter=2)).eval()
    save_model(tmp_path / "a.safetensors", model, "a", "MIT", {}, half=False)
    again = load_model(str(tmp_path / "a.safetensors"))[0]
    mixture, given = torch.randn(2, 1, 3200), cue(model, 2, 5)
    with torch.no_grad():
        torch.testing.assert_close(again(mixture, **given).estimates, model(mixture, **given).estimates)
    assert (again.likeness.low, again.likeness.jitter) == (0.2, 2)


# The likeness


def embeddings(batch: int = 400, pictures: int = 50) -> torch.Tensor:
    torch.manual_seed(0)
    return standard(torch.randn(batch, pictures, 16))


def test_in_use_embeddings_stay_as_they_are():
    x = embeddings(4)
    assert LipLikeness().eval()(x) is x


@pytest.mark.parametrize("others", [0.0, 0.5, 1.0])
def test_the_correlation_falls_to_what_was_asked_for(others):
    x = embeddings()
    vague = LipLikeness((0.4, 0.4), others, jitter=0, hidden=0)(x)
    assert float(correlation(vague, x).mean()) == pytest.approx(0.4, abs=0.02)
    assert float(vague.square().mean()) == pytest.approx(1.0, abs=0.05)
    spread = correlation(LipLikeness((0.2, 0.9), others, jitter=0, hidden=0)(x), x)
    assert spread.min() < 0.3
    assert spread.max() > 0.8


def test_noise_changes_as_slowly_as_its_memory_says():
    x = torch.zeros(50, 200, 16)
    for memory in (0.0, 0.8):
        noise = LipLikeness((1e-3, 1e-3), 0.0, memory, 0, 0)(x)
        neighbours = (noise[:, 1:] * noise[:, :-1]).mean() / noise.square().mean()
        assert float(neighbours) == pytest.approx(memory, abs=0.05)


def test_lips_are_hidden_for_a_while():
    x = embeddings()
    seen = LipLikeness((1.0, 1.0), jitter=0, hidden=0.5, longest=20)(x).square().sum(2) > 0
    hidden = (~seen).sum(1)
    assert hidden.max() <= 20
    assert float((hidden > 0).float().mean()) == pytest.approx(0.5, abs=0.07)
    # In one piece.
    assert ((seen[:, 1:] != seen[:, :-1]).sum(1) <= 2).all()


def test_embeddings_come_earlier_or_later():
    x = embeddings()
    moved = LipLikeness((1.0, 1.0), jitter=2, hidden=0)(x)
    shifts = {n: (moved[:, 5:-5] == x[:, 5 - n : 45 - n]).all((1, 2)) for n in range(-2, 3)}
    assert torch.stack(list(shifts.values())).sum(0).eq(1).all()
    assert all(found.any() for found in shifts.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"correlation": (0.0, 0.5)}, r"correlation is \[0.0, 0.5\]; expected two numbers, 0 < low <= high <= 1"),
        ({"others": 1.5}, "others is 1.5; it must lie between 0 and 1"),
        ({"jitter": -1}, "jitter is -1 and longest 40; they must be at least 0 and 1 pictures"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LipLikeness(**arguments)
