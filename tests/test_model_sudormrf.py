"""SuDoRM-RF and SuDoRM-RF++: sizes, time scales and masks."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from two_talkers import steps_to, two_mixtures

from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.parts.strided import StridedDepthwiseConv, stretched
from avsep.models.separators.sudormrf import SoftmaxMasks, TimeScales
from avsep.models.sudormrf import SuDoRMRF, SuDoRMRFpp

KINDS = [SuDoRMRF, SuDoRMRFpp]
TINY = {"filters": 8, "kernel": 8, "stride": 4, "channels": 6, "blocks": 2, "scales": 3, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.mark.parametrize(("kind", "parameters"), [(SuDoRMRF, 2_584_196), (SuDoRMRFpp, 2_630_801)])
def test_the_size_is_that_of_asteroids_class(kind, parameters):
    """Whose 512 filters have a sample more in the encoder, and in the decoder."""
    with torch.device("meta"):
        assert kind(**kind.paper_args).parameter_count == parameters - 2 * 512


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 4, 7])
def test_a_strided_convolution_is_the_one_of_torch(stride, frames):
    conv = StridedDepthwiseConv(3, 5, stride)
    x = torch.randn(2, frames, 3)
    expected = functional.conv1d(x.mT, conv.weight, conv.bias, stride, 2, groups=3).mT
    assert torch.allclose(conv(x), expected, atol=1e-6)
    assert expected.shape[1] == -(-frames // stride)
    with pytest.raises(ValueError, match="kernel is 4; it must be odd"):
        StridedDepthwiseConv(3, 4, stride)


def test_frames_are_repeated():
    x = torch.arange(3.0)[None, :, None]
    assert stretched(x, 5).flatten().tolist() == [0, 0, 1, 1, 2]
    assert stretched(x, 6).flatten().tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(stretched(x, 3), x)


@pytest.mark.parametrize("frames", [1, 5, 8, 13])
def test_time_scales_are_summed_at_the_finest(frames):
    net = TimeScales(4, 3)
    x = torch.randn(2, frames, 4)
    made, y = [], x
    for conv, norm in zip(net.convs, net.norms, strict=True):
        y = norm(conv(y))
        made.append(y)
    # Nearest neighbours: a frame of the second scale stands for two, one of the third for four.
    index = torch.arange(frames)
    expected = made[0] + made[1][:, index // 2] + made[2][:, index // 4]
    assert torch.allclose(net(x), expected, atol=1e-6)


def test_a_block_reaches_far_with_few_layers():
    """About 4 * 2 ** scales frames, but for what the norms bring from everywhere."""
    net = TimeScales(1, 4)
    net.norms = torch.nn.ModuleList(torch.nn.Identity() for _ in range(4))
    for conv in net.convs:
        torch.nn.init.ones_(conv.weight)
    x = torch.zeros(1, 200, 1, requires_grad=True)
    net(x)[0, 96].sum().backward()
    (seen,) = x.grad.flatten().nonzero(as_tuple=True)
    assert 30 < seen[-1] - seen[0] < 64


def test_masks_sum_to_one():
    masks = SoftmaxMasks(6, 8, 3)
    made = masks(torch.randn(2, 5, 6))
    assert made.shape == (2, 3, 5, 8)
    assert torch.allclose(made.sum(1), torch.ones(2, 5, 8))
    alone = SoftmaxMasks(6, 8, 1)(torch.randn(2, 5, 6))
    assert alone.shape == (2, 1, 5, 8)
    assert ((alone > 0) & (alone < 1)).all()


@pytest.mark.parametrize("filters", [2, 8])
def test_the_matrix_of_the_masks_is_the_convolution_along_the_filters(filters):
    masks = SoftmaxMasks(6, filters, 3)
    x = torch.randn(4, filters)
    expected = masks.conv(x[:, None]).flatten(1)
    found = functional.linear(x, masks.matrix(), masks.conv.bias.repeat_interleave(filters))
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out(kind, time):
    assert kind(**TINY).eval()(torch.randn(2, 1, time)).estimates.shape == (2, 2, 1, time)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": 9}, "filters is 9; it must be even"),
        ({"scales": 17}, "scales is 17; it must be a whole number from 1 to 16"),
        ({"blocks": 0}, "blocks is 0; it must be"),
    ],
)
def test_what_cannot_be_built_is_named(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        kind(**TINY | changes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_batch(kind):
    blocks = 2 if kind is SuDoRMRFpp else 4
    model = kind(filters=64, kernel=16, stride=8, channels=32, blocks=blocks, scales=4, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.25))
