"""The mean of the estimates of several separators, whatever order each gives them in."""

from __future__ import annotations

import itertools

import pytest
import torch
from test_export import fails

from avsep.checkpoint import load_model, save_model
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.ensemble import Ensemble, in_order_of
from avsep.models.split_tasnet import SplitTasNet

CONV = {"filters": 16, "kernel": 32, "stride": 16, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 1}
SPLIT = {"window": 512, "stride": 128, "channels": 8, "hidden": 12, "blocks": 2}


def conv(**changes) -> ConvTasNet:
    return ConvTasNet(**CONV | changes).eval()


@pytest.fixture
def both() -> Ensemble:
    torch.manual_seed(0)
    return Ensemble([SplitTasNet(**SPLIT), conv()]).eval()


def test_it_is_the_mean_of_its_members_in_the_order_of_the_first(both: Ensemble) -> None:
    mixture = torch.randn(3, 1, 4000)
    with torch.no_grad():
        first, second = (member(mixture).estimates for member in both.members)
        found = both.separate(mixture).estimates
    for item, one, other in zip(found, first, second, strict=True):
        straight, turned = (one * other).sum(), (one * other.flip(0)).sum()
        torch.testing.assert_close(item, (one + (other if straight > turned else other.flip(0))) / 2)


@pytest.mark.parametrize("sources", [1, 2, 3, 5])
def test_estimates_in_another_order_are_put_in_that_of_the_first(sources: int) -> None:
    torch.manual_seed(sources)
    first = torch.randn(4, sources, 1, 500)
    shuffled = torch.stack([item[torch.randperm(sources)] for item in first])
    torch.testing.assert_close(in_order_of(first, shuffled + 0.1 * torch.randn_like(first)), first, atol=0.6, rtol=0)


def test_of_a_member_with_more_estimates_those_that_go_with_the_first_are_taken() -> None:
    torch.manual_seed(1)
    model = Ensemble([SplitTasNet(**SPLIT), conv(sources=4)]).eval()
    mixture = torch.randn(3, 1, 4000)
    with torch.no_grad():
        first, second = (member(mixture).estimates for member in model.members)
        found = model.separate(mixture).estimates
    assert (model.contract.sources, found.shape) == (2, first.shape)
    for item, one, other in zip(found, first, second, strict=True):
        pairs = [other[[i, j]] for i, j in itertools.permutations(range(4), 2)]
        torch.testing.assert_close(item, (one + max(pairs, key=lambda pair: float((one * pair).sum()))) / 2)


def test_with_one_round_the_first_member_separates_alone(both: Ensemble) -> None:
    mixture = torch.randn(1, 1, 4000)
    alone = both.with_rounds(1)
    torch.testing.assert_close(alone(mixture).estimates, both.members[0](mixture).estimates)
    assert (alone.contract.rounds, both.contract.rounds, len(both.members)) == (1, 2, 2)
    with pytest.raises(ValueError, match="rounds"):
        both.with_rounds(3)


def test_its_contract_is_that_of_its_members(both: Ensemble) -> None:
    assert (both.contract.stride, both.contract.sources, both.contract.refine) == (128, 2, False)


def test_all_members_learn_from_the_mean(both: Ensemble) -> None:
    both(torch.randn(2, 1, 2000)).estimates.square().mean().backward()
    for member in both.members:
        assert sum(float(p.grad.abs().sum()) for p in member.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (lambda: [], "members is 0"),
        (lambda: [conv(sources=3), conv()], r"they must be the same"),
        (lambda: [conv(), conv(sources=6)], r"more sources than the first, at most 5"),
        (lambda: [conv(), conv(sample_rate=8000)], r"they must be the same"),
        (lambda: [conv(sources=6)], r"gives 6 estimates.*at most 5"),
    ],
)
def test_members_that_do_not_go_together(members, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ensemble(members())


def test_several_weights_files_become_one(cli, both: Ensemble, tmp_path) -> None:
    for name, member in zip(("a", "b"), both.members, strict=True):
        save_model(tmp_path / f"{name}.safetensors", member, name, "MIT", {"data": [name]}, half=False)
    code, out, err = cli("export", "a.safetensors", "--ensemble-with", "b.safetensors", "-o", "ab.safetensors")
    assert (code, out) == (0, "ab.safetensors\n"), err
    model, card = load_model(tmp_path / "ab.safetensors")
    assert (card.name, card.licence) == ("ab", "MIT")
    assert card.lineage == {"members": [{"name": n, "lineage": {"data": [n]}} for n in ("a", "b")]}
    mixture = torch.randn(1, 1, 4000)
    torch.testing.assert_close(model(mixture).estimates, both(mixture).estimates, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("split-3spk", "--ensemble-with", "audio-2spk"), ("give no mean together", "they must be the same")),
        (("audio-2spk", "--ensemble-with", "sync"), ("sync is a SynchronyEnsemble, which separates nothing",)),
        (("last.ckpt", "--ensemble-with", "audio-2spk"), ("SOURCE is last.ckpt", "Export it first")),
        (("audio-2spk", "--onnx", "--ensemble-with", "audio-2spk"), ("with --onnx, which writes one model",)),
        (("audio-2spk", "--ensemble-with", "audio-2spk", "--last-step"), ("--last-step is for checkpoints",)),
    ],
)
def test_what_cannot_be_joined(cli, arguments, parts) -> None:
    fails(cli("export", *arguments, "-o", f"x{'.onnx' if '--onnx' in arguments else '.safetensors'}"), *parts, code=2)
