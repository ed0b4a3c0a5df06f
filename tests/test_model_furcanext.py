"""FurcaPa: gated blocks, their parallel components, causality, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.inference.streaming import StreamingSeparator
from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.furcanext import FurcaPa
from avsep.models.separators.gated_tcn import GatedComponent, GatedTCN, ParallelGatedBlock

TINY = {"filters": 8, "kernel": 8, "stride": 4, "bottleneck": 6, "hidden": 8, "blocks": 2, "repeats": 2}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_the_gate_closes():
    component = GatedComponent(4, 5, 3, 2, "gLN", False)
    x = torch.randn(2, 9, 4)
    assert component(x).abs().sum() > 0
    with torch.no_grad():
        component.gate.bias.fill_(-100.0)
    assert (component(x) == 0).all()


def test_an_open_gate_is_a_convolution():
    component = GatedComponent(4, 5, 3, 2, "gLN", False)
    x = torch.randn(2, 9, 4)
    with torch.no_grad():
        component.gate.weight.zero_()
        component.gate.bias.fill_(100.0)
    torch.testing.assert_close(component(x), component.norm(component.value(component.enter(x))))


def test_a_block_is_the_mean_of_its_components():
    block = ParallelGatedBlock(4, 5, 3, 3, 1, "gLN", False, components=3)
    x = torch.randn(2, 9, 4)
    residual, skip = block(x)
    both = block.out(sum(component(x) for component in block.components) / 3)
    torch.testing.assert_close(residual, x + both[..., :4])
    torch.testing.assert_close(skip, both[..., 4:])


def test_components_have_weights_of_their_own_and_their_order_does_not_count():
    block = ParallelGatedBlock(4, 5, 3, 3, 1, "gLN", False, components=2)
    x = torch.randn(2, 9, 4)
    first, second = (component(x) for component in block.components)
    assert not torch.allclose(first, second)
    before = block(x)[0]
    block.components = torch.nn.ModuleList(reversed(list(block.components)))
    torch.testing.assert_close(block(x)[0], before)


def test_dilations_and_reach_are_those_of_conv_tasnet():
    net = GatedTCN(8, 6, 8, 0, 3, 3, 2, 2, components=2)
    offsets = [
        component.value.offsets for repeat in net.repeats_after for b in repeat.blocks for component in b.components
    ]
    assert [list(found) for found in offsets[:6:2]] == [[-1, 0, 1], [-2, 0, 2], [-4, 0, 4]]
    assert net.receptive_field == 1 + 2 * 2 * 7


def test_the_future_changes_nothing_if_causal():
    model = FurcaPa(**TINY, norm="cLN", causal=True).eval()
    mixture = torch.randn(1, 1, 200)
    changed = mixture.clone()
    changed[..., 100:] = 0
    assert torch.allclose(model(mixture).estimates[..., :92], model(changed).estimates[..., :92], atol=1e-6)
    assert not torch.allclose(model(mixture).estimates[..., 97:100], model(changed).estimates[..., 97:100], atol=1e-6)


def test_a_stream_gives_what_the_whole_mixture_gives():
    model = FurcaPa(**TINY, norm="cLN", causal=True).eval()
    mixture = torch.randn(1, 1, 203)
    stream = StreamingSeparator(model)
    pieces = [*(stream.feed(piece) for piece in mixture[:, 0].split(37, dim=1)), stream.finish()]
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(pieces, 2), model(mixture).estimates[:, :, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("time", [1, 4, 203])
def test_length_in_is_length_out(time):
    assert FurcaPa(3, **TINY).eval()(torch.randn(2, 1, time)).estimates.shape == (2, 3, 1, time)


def test_what_its_blocks_have_more_than_conv_tasnets():
    """A second component (1x1 convolution, PReLU, two norms) and three more depth-wise convolutions; but no PReLU
    behind any of these. The paper's 51.4 million weights are of the largest of its networks."""
    with torch.device("meta"):
        plain = ConvTasNet(**ConvTasNet.paper_args).parameter_count
        gated = FurcaPa(**FurcaPa.paper_args).parameter_count
    component = 128 * 512 + 512 + 1 + 2 * 2 * 512
    assert gated - plain == 24 * (component + 3 * 4 * 512 - 1)


@pytest.mark.parametrize("components", [0, 17, "2"])
def test_what_cannot_be_built_is_named(components):
    with pytest.raises(ValueError, match=f"components is {components!r}; it must be a whole number from 1 to 16"):
        FurcaPa(**TINY, components=components)


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"filters": 64, "kernel": 16, "stride": 8, "bottleneck": 32, "hidden": 64, "blocks": 4, "repeats": 1}
    model = FurcaPa(**sizes, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.25))
