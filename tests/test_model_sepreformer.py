"""SepReformer: sizes of the paper, relative positions, blocks, the split into sources, and stages."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses import NegativeSiSnr, OnStages
from avsep.models.parts.layers import DepthwiseConv
from avsep.models.separators.sepreformer import (
    Attention,
    CrossSpeakerBlock,
    GlobalBlock,
    LongDepthwiseConv,
    RelativePositions,
    SeparateAndReconstruct,
    Split,
    between_steps,
)
from avsep.models.sepreformer import SepReformer

NET = {"channels": 8, "stages": 2, "encoder_blocks": 1, "decoder_blocks": 1, "heads": 2, "reach": 4, "dropout": 0.0}
TINY = NET | {"filters": 8, "kernel": 8, "stride": 4, "block_kernel": 5, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.mark.parametrize(("channels", "millions"), [(64, 3.7), (128, 14.2)])
@pytest.mark.slow
def test_sizes_are_those_of_the_paper(channels, millions):
    with torch.device("meta"):
        model = SepReformer(**SepReformer.paper_args, channels=channels)
    assert model.parameter_count == pytest.approx(millions * 1e6, rel=0.01)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_each_pair_of_steps_has_the_key_of_its_distance(steps):
    positions = RelativePositions(4, 3)
    query = torch.randn(2, steps, 4)
    found = between_steps(query @ positions(steps).t())
    for there in range(steps):
        for other in range(steps):
            key = positions.keys.weight[min(max(there - other, -3), 2) + 3]
            assert torch.allclose(found[:, there, other], query[:, there] @ key, atol=1e-5)


def test_attention_is_the_one_of_torch_with_keys_of_distances():
    attention, positions = Attention(8, 2, 0.0), RelativePositions(4, 3)
    x = torch.randn(1, 5, 8)
    query, key, value = (
        part.unflatten(2, (2, 4)).transpose(1, 2) for part in attention.project(attention.norm(x)).chunk(3, 2)
    )
    scores = query @ key.mT + between_steps(query @ positions(5).t())
    expected = attention.out(((scores / 2).softmax(3) @ value).transpose(1, 2).flatten(2))
    assert torch.allclose(attention(x, positions), expected, atol=1e-9)
    assert not torch.equal(attention(x, positions), attention(x))


def test_a_long_convolution_is_the_same_forward_with_and_without_gradients():
    conv = LongDepthwiseConv(6, 65, 1, False)
    x = torch.randn(2, 40, 6)
    expected = DepthwiseConv.forward(conv, x)
    with torch.no_grad():
        assert torch.allclose(conv(x), expected, atol=1e-5)
    assert torch.equal(conv(x), expected)


def test_a_global_block_looks_at_pooled_frames_from_anywhere():
    block, positions = GlobalBlock(8, 2, 0.0), RelativePositions(4, 10)
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if parameter.dim() == 1 and "weight" in name and (parameter == 1e-5).all():
                parameter.fill_(1.0)
    x = torch.randn(1, 32, 8, requires_grad=True)
    block(x, 4, positions)[0, 0].sum().backward()
    assert (x.grad.abs().sum(2) > 0).all()


def test_sources_are_split_and_normed_each():
    split = Split(8, 3)
    made = split(torch.randn(2, 10, 8))
    assert made.shape == (6, 10, 8)
    assert torch.allclose(made.mean((1, 2)), torch.zeros(6), atol=1e-5)
    assert torch.allclose(made.var((1, 2), correction=0), torch.ones(6), atol=1e-3)


def test_sources_tell_each_other_in_any_order():
    block = CrossSpeakerBlock(8, 2, 3, 0.0)
    x = torch.randn(2, 3, 10, 8)
    found = block(x.flatten(0, 1)).unflatten(0, (2, 3))
    swapped = block(x[:, [2, 0, 1]].flatten(0, 1)).unflatten(0, (2, 3))
    assert torch.allclose(swapped, found[:, [2, 0, 1]], atol=1e-6)
    alone = block(torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], 1).flatten(0, 1)).unflatten(0, (2, 3))
    assert not torch.equal(alone[:, 0], found[:, 0])


@pytest.mark.parametrize("frames", [1, 3, 4, 13])
def test_stages_halve_the_frames(frames):
    net = SeparateAndReconstruct(8, **NET, kernel=5, sources=3)
    *earlier, last = net(torch.rand(2, frames, 8))
    padded = -(-frames // 4) * 4
    assert [tuple(x.shape) for x in earlier] == [(6, padded // 4, 8), (6, padded // 2, 8)]
    assert last.shape == (6, frames, 8)


@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out(time):
    output = SepReformer(**TINY, every_stage=True)(torch.randn(2, 1, time))
    assert output.estimates.shape == (2, 2, 1, time)
    assert [stage.shape for stage in output.stages] == [(2, 2, 1, time)] * 2


def test_heads_of_stages_take_no_part_in_the_estimates():
    model, without = SepReformer(**TINY, every_stage=True).eval(), SepReformer(**TINY).eval()
    own = without.state_dict()
    without.load_state_dict({name: tensor for name, tensor in model.state_dict().items() if name in own})
    mixture = torch.randn(1, 1, 800)
    assert torch.equal(model(mixture).estimates, without(mixture).estimates)
    assert without(mixture).stages == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "channels is 8 with 3 heads; it must be a multiple of them"),
        ({"dropout": -0.1}, "dropout is -0.1; it must be at least 0 and below 1"),
        ({"stages": 17}, "stages is 17; it must be a whole number from 1 to 16"),
        ({"block_kernel": 4}, "kernel 4 must be odd"),
        ({"block_kernel": 2001}, "kernel is 2001; it must be a whole number from 1 to 1001"),
        ({"reach": 0}, "reach is 0; it must be"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        SepReformer(**TINY | changes)


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"filters": 64, "kernel": 16, "stride": 8, "channels": 32, "stages": 1, "heads": 4, "block_kernel": 31}
    blocks = {"encoder_blocks": 1, "decoder_blocks": 1, "dropout": 0.0}
    model = SepReformer(**sizes, **blocks, every_stage=True, sample_rate=8000)
    objective = OnStages(NegativeSiSnr(), [0.2, 0.8])
    steps_to(20, model, objective, two_mixtures(seconds=0.25), learning_rate=5e-3)
