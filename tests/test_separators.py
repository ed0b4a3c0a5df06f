"""The separators that work on a spectrum: SplitTCN and the band-split network."""

from __future__ import annotations

import pytest
import torch

from avsep.models.band_split import BandSplitRNN
from avsep.models.parts.stft import CompressedStftEncoder
from avsep.models.separators.band_split import BANDS, BandBlocks, ResidualLSTM
from avsep.models.separators.split_tcn import Exchange, SplitTCN
from avsep.models.split_tasnet import SplitTasNet

SMALL = {"channels": 8, "hidden": 12, "blocks": 3}


def split(**options) -> SplitTasNet:
    torch.manual_seed(0)
    return SplitTasNet(**(SMALL | {"window": 64, "stride": 16} | options)).eval()


def bands(**options) -> BandSplitRNN:
    torch.manual_seed(0)
    return BandSplitRNN(**({"channels": 4, "hidden": 6, "blocks": 1} | options)).eval()


@pytest.mark.parametrize("make", [split, bands])
@pytest.mark.parametrize("time", [1, 63, 1000, 4001])
def test_length_in_is_length_out_for_any_number_of_sources(make, time):
    for sources in (1, 2, 3):
        with torch.no_grad():
            estimates = make(sources=sources)(torch.randn(2, 1, time)).estimates
        assert estimates.shape == (2, sources, 1, time)
        assert estimates.isfinite().all()


@pytest.mark.parametrize("make", [split, bands])
def test_louder_in_is_louder_out(make):
    model, mixture = make(), 0.1 * torch.randn(1, 1, 2000)
    with torch.no_grad():
        soft, loud = model(mixture).estimates, model(100 * mixture).estimates
    torch.testing.assert_close(loud, 100 * soft, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("make", [split, bands])
def test_silence_stays_silent(make):
    with torch.no_grad():
        assert not make()(torch.zeros(1, 1, 1000)).estimates.any()


def test_masks_are_gates_at_first_and_learn_to_turn():
    model, mixture = split(), torch.randn(1, 1, 2000)
    masks = model(mixture).masks
    assert masks.is_complex()
    assert not masks.imag.any()
    assert masks.real.min() > 0
    assert masks.real.max() < 1
    model(mixture).estimates.square().sum().backward()
    assert model.separator.to_masks[2].weight.grad[33:].abs().sum() > 0


def test_streams_differ_by_the_split_alone():
    """With the streams' weights exchanged the estimates are, and nothing else changes."""
    model, mixture = split(), torch.randn(2, 1, 3000)
    with torch.no_grad():
        before = model(mixture).estimates
        for tensor in (model.separator.split[1].weight, model.separator.split[1].bias):
            tensor.copy_(torch.cat(tensor.chunk(2)[::-1]))
        after = model(mixture).estimates
    torch.testing.assert_close(after, before.flip(1))
    assert not torch.allclose(before[:, 0], before[:, 1])


def test_an_exchange_tells_each_stream_the_mean_of_the_others():
    torch.manual_seed(0)
    exchange, x = Exchange(4, "gLN"), torch.randn(6, 5, 4)
    with torch.no_grad():
        found = exchange(x, 3).unflatten(0, (2, 3))
        normal = exchange.norm(x).unflatten(0, (2, 3))
        own, others = exchange.own(normal[:, 1]), exchange.others((normal[:, 0] + normal[:, 2]) / 2)
        expected = x.unflatten(0, (2, 3))[:, 1] + exchange.act(own + others)
    torch.testing.assert_close(found[:, 1], expected)


def test_rounds_have_the_same_weights_and_another_result():
    once, twice = split(rounds=1), split(rounds=2)
    assert once.parameter_count == twice.parameter_count
    mixture = torch.randn(1, 1, 1000)
    with torch.no_grad():
        output = twice(mixture)
        (stage,) = output.stages
        torch.testing.assert_close(stage, once(mixture).estimates)
        assert not torch.allclose(stage, output.estimates)
        used = twice.separate(mixture)
    torch.testing.assert_close(used.estimates, output.estimates)
    assert used.stages == ()


def test_a_causal_separator_does_not_see_the_future():
    torch.manual_seed(0)
    net = SplitTCN(9, 8, 12, 3, 3, 2, norm="cLN", causal=True).eval()
    features = torch.randn(1, 40, 27)
    other = features.clone()
    other[:, 25:] += 1
    with torch.no_grad():
        first, second = net(features), net(other)
    torch.testing.assert_close(first[:, :, :25], second[:, :, :25])
    assert not torch.allclose(first[:, :, 25:], second[:, :, 25:])


def test_a_stream_begins_with_what_a_whole_sound_takes_from_past_frames():
    trained = split()
    causal = split(causal=True, norm="cLN")
    taken = causal.separator.warm_start(trained.separator)
    assert set(taken) == set(causal.separator.state_dict())
    for own, theirs in zip(causal.separator.mixed.blocks, trained.separator.mixed.blocks, strict=True):
        past, present, _ = theirs.body[3].weight
        assert torch.equal(own.body[3].weight, torch.stack([0 * past, past, present]))
        assert torch.equal(own.out.weight, theirs.out.weight)


@pytest.mark.parametrize(
    "larger", [{"repeats": 2}, {"repeats": 3, "rounds": 2}, {"front": BandBlocks(2, 3, 1)}], ids=["2", "3", "front"]
)
def test_a_larger_network_begins_where_a_smaller_one_stands(larger: dict):
    small = split(window=512, stride=256, rounds=larger.get("rounds", 1))
    torch.manual_seed(1)
    large = SplitTasNet(**(SMALL | {"window": 512, "stride": 256} | larger)).eval()
    large.separator.warm_start(small.separator)
    mixture = torch.randn(2, 1, 3000)
    output = large(mixture)
    torch.testing.assert_close(output.estimates, small(mixture).estimates)
    output.estimates.square().sum().backward()
    idle = [p for p in large.separator.parameters() if p.dim() == 2 and not p.any()]
    assert all(p.grad.abs().sum() > 0 for p in idle)


def test_exchanges_are_at_the_same_places_of_every_repeat():
    stack = split(repeats=2, exchange_every=2).separator.parted
    assert sorted(stack.exchanges) == ["0", "2", "3", "5"]
    assert [block.body[3].offsets[-1] for block in stack.blocks] == [1, 2, 4, 1, 2, 4]


def test_tokens_of_a_front_go_in_beside_the_features():
    model = split(window=512, stride=256, front=BandBlocks(2, 3, 1))
    assert model.separator.enter[0].in_features == 3 * 257 + 2 * len(BANDS)
    model(torch.randn(1, 1, 2000)).estimates.square().sum().backward()
    assert all(p.grad is not None for p in model.separator.front.parameters())
    assert model.init_args["front"]["class_path"].endswith("BandBlocks")


def test_features_are_compressed_and_of_a_level_of_their_own():
    encoder, x = CompressedStftEncoder(64, 16), torch.randn(1, 1, 1000)
    features, bins = encoder(x)
    assert features.shape == (1, 64, 99)
    again, _ = encoder(10 * x)
    torch.testing.assert_close(features, again, rtol=1e-3, atol=1e-3)
    real, imag, log = features.unflatten(2, (3, 33)).unbind(2)
    magnitude = bins.abs() / x.square().mean().sqrt()
    torch.testing.assert_close(torch.hypot(real, imag), magnitude**0.3, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(torch.angle(torch.complex(real, imag)), bins.angle(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(log, magnitude.clamp_min(1e-3).log() / 2, rtol=1e-3, atol=1e-3)


def test_bands_cover_the_spectrum_and_cells_begin_with_long_memories():
    assert sum(BANDS) == 257
    torch.manual_seed(0)
    lstm = ResidualLSTM(4, 100, 59.0, 0.5).lstm
    for direction in ("", "_reverse"):
        bias = getattr(lstm, f"bias_ih_l0{direction}") + getattr(lstm, f"bias_hh_l0{direction}")
        forget = bias[100:200]
        # Evenly from 1 to 59 steps.
        assert 1 <= forget.exp().min() < forget.exp().max() <= 59
        assert 25 < forget.exp().mean() < 35
        torch.testing.assert_close(bias[:100], -0.5 * forget)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: split(norm="bn"), "norm is 'bn'; it must be one of"),
        (lambda: split(rounds=0), "rounds is 0; it must be a whole number from 1 to 16"),
        (lambda: split(sources=0), "sources is 0; it must be a whole number from 1 to 64"),
        (lambda: bands(blocks=0), "blocks is 0; it must be a whole number from 1 to 100"),
        (lambda: CompressedStftEncoder(power=0.0), "power is 0.0; it must be above 0 and at most 2"),
    ],
)
def test_sizes_that_make_no_sense_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
