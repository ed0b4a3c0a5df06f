"""Conv-TasNet with a deep encoder and decoder: how far their layers reach, sizes, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.deep_conv_tasnet import DeepConvTasNet
from avsep.models.parts.deep_encoder import DeepDecoder, DeepEncoder

TINY = {"filters": 8, "kernel": 8, "stride": 4, "bottleneck": 6, "hidden": 8, "blocks": 2, "repeats": 2}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.mark.parametrize(("dilated", "reach"), [(False, 3), (True, 1 + 2 + 4)])
def test_layers_reach_as_far_as_their_dilations(dilated, reach):
    waveform = torch.randn(1, 1, 4 * 40, requires_grad=True)
    encoder = DeepEncoder(5, 8, 4, layers=3, dilated=dilated)
    encoder(waveform)[0][0, 20].sum().backward()
    # Frame 20 looks at samples 76 to 83 of the waveform with its edge of 4.
    used = waveform.grad[0, 0].nonzero()[:, 0]
    assert (used[0], used[-1]) == (76 - 4 * reach, 83 + 4 * reach)

    frames = torch.randn(1, 2, 41, 5, requires_grad=True)
    DeepDecoder(5, 8, 4, layers=3, dilated=dilated)(frames, 160)[0, 1, 80].backward()
    assert (frames.grad[0, 0] == 0).all()
    used = frames.grad[0, 1].abs().sum(1).nonzero()[:, 0]
    assert (used[0], used[-1]) == (20 - reach, 21 + reach)


def test_layers_come_in_mirrored_order():
    encoder, decoder = DeepEncoder(5, 8, 4, 3, dilated=True), DeepDecoder(5, 8, 4, 3, dilated=True)
    assert [layer.dilation[0] for layer in encoder.layers[::2]] == [1, 2, 4]
    assert [layer.dilation[0] for layer in decoder.layers[::2]] == [4, 2, 1]


def test_frames_have_either_sign_and_none_is_lost():
    frames, masked = DeepEncoder(16, 8, 4, layers=1)(torch.randn(1, 1, 400))
    assert masked is frames
    assert (frames < 0).any()
    assert (frames > 0).any()


@pytest.mark.parametrize("time", [1, 4, 203])
def test_length_in_is_length_out(time):
    assert DeepConvTasNet(3, **TINY).eval()(torch.randn(2, 1, time)).estimates.shape == (2, 3, 1, time)


def test_it_has_eight_layers_more_than_conv_tasnet():
    """The paper gives no number of weights."""
    with torch.device("meta"):
        shallow = ConvTasNet(**ConvTasNet.paper_args).parameter_count
        deep = DeepConvTasNet(**DeepConvTasNet.paper_args).parameter_count
    assert deep - shallow == 8 * (3 * 512 * 512 + 512 + 1)


@pytest.mark.parametrize("layers", [0, 13, 2.0])
def test_what_cannot_be_built_is_named(layers):
    with pytest.raises(ValueError, match=f"layers is {layers}; it must be a whole number from 1 to 12"):
        DeepConvTasNet(**TINY, layers=layers)


@pytest.mark.slow
@pytest.mark.parametrize("dilated", [False, True])
def test_it_learns_a_batch(dilated):
    sizes = {"filters": 64, "kernel": 16, "stride": 8, "bottleneck": 32, "hidden": 64, "blocks": 4, "repeats": 1}
    model = DeepConvTasNet(**sizes, layers=2, dilated=dilated, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.25), learning_rate=5e-3)
