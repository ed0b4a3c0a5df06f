"""TDCN++ and iTDCN++: the network, its masks, mixture consistency, and the two passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avsep.checkpoint import load_model, save_model
from avsep.dsp.stft import istft, stft
from avsep.errors import UsageError
from avsep.models.itdcn import ITDCNpp
from avsep.models.parts.consistency import MixtureConsistency
from avsep.models.parts.layers import InstanceNorm
from avsep.models.parts.stft import StftDecoder, StftEncoder
from avsep.models.separators.tdcn import DilatedConvNet
from avsep.models.tdcn import TDCNpp

SIZES = {"bottleneck": 8, "hidden": 12, "blocks": 3, "repeats": 3}
BASES = ({"basis": "stft"}, {"basis": "learned", "filters": 16})


def net(**changes) -> DilatedConvNet:
    sizes = {"features": 5, "filters": 4, "bottleneck": 6, "hidden": 7, "kernel": 3, "blocks": 2, "repeats": 4}
    return DilatedConvNet(**sizes | {"sources": 3} | changes)


def test_the_norm_is_that_of_each_channel_over_time():
    norm, ours = nn.InstanceNorm1d(4, eps=1e-8, affine=True), InstanceNorm(4)
    with torch.no_grad():
        norm.weight.copy_(ours.weight.uniform_(0.5, 2))
        norm.bias.copy_(ours.bias.normal_())
    x, other = torch.randn(3, 50, 4), torch.randn(3, 50, 4)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [ours(inputs[0]), norm(inputs[1].mT).mT]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        (output * other).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.weight.grad, norm.weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.bias.grad, norm.bias.grad)


def test_scales_start_decaying_with_depth():
    scales = [block.scale for repeat in net().repeats for block in repeat]
    assert [scale.item() for scale in scales] == pytest.approx([0.9**n for n in range(8)])
    assert all(isinstance(scale, nn.Parameter) for scale in scales)
    assert [block.body[3].offsets.step for repeat in net().repeats for block in repeat] == [1, 2] * 4


def test_a_repeat_gets_the_inputs_of_all_before_it():
    separator = net()
    assert [len(skips) for skips in separator.skips] == [0, 1, 2, 3]
    for number, repeat in enumerate(separator.repeats):
        for block in repeat:
            nn.init.zeros_(block.scale)  # each repeat passes its input on
        for earlier, skip in enumerate(separator.skips[number]):
            nn.init.zeros_(skip.bias)
            with torch.no_grad():
                skip.weight.copy_(torch.eye(6) * 10.0 ** -(earlier + 1))
    features = torch.randn(2, 9, 5)
    inputs = [separator.enter(features)]
    for number in range(1, 4):
        inputs.append(inputs[-1] + sum(10.0 ** -(e + 1) * inputs[e] for e in range(number)))
    torch.testing.assert_close(separator.activations(features), inputs[-1])


def test_masks_lie_between_0_and_1():
    masks = net()(10 * torch.randn(2, 9, 5))
    assert masks.shape == (2, 3, 9, 4)
    assert masks.min() >= 0
    assert masks.max() <= 1


def test_the_seeds_stft_has_65_coefficients_and_an_inverse():
    x = torch.randn(2, 1, 8001)
    encoder, decoder = StftEncoder(80, 40, 1.0, 128), StftDecoder(80, 40, 128)
    features, bins = encoder(x)
    assert features.shape == (2, 1 + 201, 65)
    assert encoder.filters == 65
    torch.testing.assert_close(features, bins.abs().clamp_min(1e-8))
    torch.testing.assert_close(decoder(bins.unsqueeze(1), 8001), x, rtol=0, atol=1e-5)
    # Every second bin of twice as many points is that of the window alone.
    torch.testing.assert_close(stft(x, 80, 40, 160)[..., ::2, :].abs(), stft(x, 80, 40).abs(), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"expected \(65, 202\) for 8001 samples, window 80 and hop 40"):
        istft(bins[..., :64, :].mT, 8001, 80, 40, 128)
    with pytest.raises(ValueError, match="points is 64; it must be a whole number from 80 to 320"):
        StftEncoder(80, 40, 1.0, 64)


@pytest.mark.parametrize("weights", ["predicted", "equal"])
def test_estimates_are_made_to_sum_to_the_mixture(weights):
    part = MixtureConsistency(3, 6, weights)
    estimates, mixture, activations = torch.randn(2, 3, 100), torch.randn(2, 100), torch.randn(2, 9, 6)
    shares = part.weights(activations)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))
    assert bool((shares == 1 / 3).all()) == (weights == "equal")
    consistent = part(estimates, mixture, activations)
    assert (consistent.sum(1) - mixture).abs().max() < 1e-5
    missing = mixture - estimates.sum(1)
    torch.testing.assert_close(consistent - estimates, shares.unsqueeze(2) * missing.unsqueeze(1))
    # What sums to the mixture already stays as it is.
    torch.testing.assert_close(part(consistent, mixture, activations), consistent)


def test_unknown_weights_of_consistency():
    with pytest.raises(ValueError, match="weights is 'learned'; it must be one of predicted, equal"):
        MixtureConsistency(2, 4, "learned")


@pytest.mark.parametrize("kind", [TDCNpp, ITDCNpp])
@pytest.mark.parametrize("basis", BASES, ids=["stft", "learned"])
@pytest.mark.parametrize("weights", ["predicted", "equal"])
def test_a_model_gives_estimates_that_sum_to_the_mixture(kind, basis, weights):
    torch.manual_seed(0)
    model = kind(4, **basis, **SIZES, consistency=weights)
    assert (model.contract.kind, model.contract.order, model.contract.sources) == ("sound", "any", 4)
    assert (model.contract.sample_rate, model.contract.cues, model.contract.refine) == (16_000, (), False)
    for time in (1, 1601):
        mixture = torch.randn(2, 1, time)
        output = model(mixture)
        assert output.estimates.shape == (2, 4, 1, time)
        for estimates in (output.estimates, *output.stages):
            assert (estimates.sum(1) - mixture).abs().max() < 1e-5
    assert len(output.stages) == (kind is ITDCNpp)
    output.estimates.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_silence_stays_silence_with_finite_gradients():
    model = ITDCNpp(2, **SIZES)
    output = model(torch.zeros(1, 1, 1600))
    assert not output.estimates.any()
    output.estimates.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_the_second_pass_is_given_the_mixture_and_the_first_estimates():
    torch.manual_seed(0)
    model = ITDCNpp(2, **SIZES).eval()
    mixture = torch.randn(1, 1, 1600)
    output = model(mixture)
    torch.testing.assert_close(output.stages[0], model.first(mixture).estimates)
    assert model.second.contract.cues == ("estimates",)
    second = model.second(mixture, estimates=output.stages[0]).estimates
    torch.testing.assert_close(output.estimates, second)
    other = model.second(mixture, estimates=output.stages[0].flip(2) + 1).estimates
    assert (other - second).abs().max() > 1e-4
    # Its loss alone trains the first pass too.
    output.estimates.square().sum().backward()
    assert model.first.separator.enter[1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [TDCNpp, ITDCNpp])
@pytest.mark.parametrize("basis", BASES, ids=["stft", "learned"])
def test_a_weights_file_gives_the_same_model(kind, basis, tmp_path):
    model = kind(3, **basis, **SIZES, consistency="equal").eval()
    save_model(tmp_path / "model.safetensors", model, "model", "MIT", {}, half=False)
    loaded, card = load_model(tmp_path / "model.safetensors")
    assert card.class_path == f"{kind.__module__}.{kind.__name__}"
    mixture = torch.randn(1, 1, 1600)
    torch.testing.assert_close(loaded(mixture).estimates, model(mixture).estimates, rtol=0, atol=0)


def test_wrong_arguments_name_the_allowed_ones():
    with pytest.raises(ValueError, match="basis is 'mel'; it must be one of stft, learned"):
        TDCNpp(basis="mel")
    with pytest.raises(ValueError, match="conditioned is 'last'; it must be one of first, all"):
        net(conditioned="last")
    with pytest.raises(UsageError, match="3 estimates are given to TDCNpp as a cue; it has 2 sources"):
        TDCNpp(2, **SIZES, refines=True)(torch.zeros(1, 1, 800), estimates=torch.zeros(1, 3, 1, 800))


@pytest.mark.parametrize("kind", [TDCNpp, ITDCNpp])
def test_magnitudes_are_raised_to_a_power(kind):
    model = kind(2, **SIZES, power=0.5)
    for one in (model,) if kind is TDCNpp else (model.first, model.second):
        features, bins = one.encoder(torch.randn(1, 1, 1600))
        torch.testing.assert_close(features, bins.abs().clamp_min(1e-8).sqrt())
