"""What implementations of Conv-TasNet, DPRNN and AV-ConvTasNet differ in: arguments of the parts here."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from avsep.inference.streaming import StreamingSeparator
from avsep.models.base import Part
from avsep.models.dprnn import chunked, evened
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.layers import NORMS, ChannelLayerNorm, CumulativeLayerNorm, GlobalLayerNorm, PReLU
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.separators.gated_dual_path import GatedDualPathRNN

TCN = {"filters": 6, "bottleneck": 4, "hidden": 5, "skip": 0, "kernel": 3, "blocks": 2, "repeats": 2, "sources": 2}
DUAL = {"filters": 6, "bottleneck": 4, "hidden": 3, "chunk": 6, "blocks": 1, "sources": 2}
LIPS = {"channels": 5, "widths": (2, 4), "temporal_channels": 6, "temporal_blocks": 3, "crop": 16, "size": 16}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_filters_and_waveforms_have_a_bias_where_it_is_asked_for():
    encoder, decoder = Encoder(6, 8, 4, padded=False, bias=True), Decoder(6, 8, 4, padded=False, bias=True)
    mixture = torch.randn(2, 1, 8 + 4 * 9)
    frames, _ = encoder(mixture)
    assert torch.allclose(frames.mT, encoder.conv(mixture).relu(), atol=1e-6)
    assert torch.allclose(decoder(frames.unsqueeze(1), 44), decoder.conv(frames.mT), atol=1e-6)
    assert Encoder(6, 8, 4).conv.bias is None
    assert Decoder(6, 8, 4).conv.bias is None


def test_a_stream_has_the_bias_once():
    model = MaskingModel(
        Encoder(6, 8, 4, bias=True),
        TemporalConvNet(**TCN, norm="cLN", causal=True, eps=1e-2),
        Decoder(6, 8, 4, bias=True),
    ).eval()
    nn.init.constant_(model.decoder.conv.bias, 0.5)
    mixture = torch.randn(2, 1, 403)
    stream = StreamingSeparator(model, batch=2)
    pieces = [stream.feed(piece) for piece in mixture[:, 0].split(50, dim=1)]
    with torch.inference_mode():
        whole = model(mixture).estimates[:, :, 0]
    assert torch.allclose(torch.cat([*pieces, stream.finish()], 2), whole, atol=1e-5)


@pytest.mark.parametrize("name", NORMS)
def test_norms_add_eps_to_the_variance(name):
    frames = 0.1 * torch.randn(2, 7, 5)
    small, large = NORMS[name](5)(frames), NORMS[name](5, 0.5)(frames)
    assert large.abs().max() < 0.5 * small.abs().max()
    if name == "gLN":
        assert torch.allclose(large, functional.group_norm(frames.mT, 1, eps=0.5).mT, atol=1e-6)
        norm = GlobalLayerNorm(3, 0.5).double()
        assert torch.autograd.gradcheck(norm, torch.randn(2, 4, 3, dtype=torch.double, requires_grad=True))


def test_a_block_ends_as_it_is_told():
    ends = {"prelu_norm": [PReLU, GlobalLayerNorm], "norm_prelu": [GlobalLayerNorm, PReLU], "none": []}
    for ending, layers in ends.items():
        net = TemporalConvNet(**TCN, ending=ending, eps=1e-5, enter_norm="channel")
        for repeat in net.repeats_after:
            for block in repeat.blocks:
                assert [type(layer) for layer in block.body[4:]] == layers
                assert block.body[2].eps == 1e-5
        assert (type(net.enter[0]), net.enter[0].eps) == (ChannelLayerNorm, 1e-5)
        assert net(torch.randn(1, 9, 6)).shape == (1, 2, 9, 6)
    assert type(TemporalConvNet(**TCN, norm="cLN").enter[0]) is CumulativeLayerNorm


@pytest.mark.parametrize("frames", range(1, 20))
def test_chunks_are_even_in_number_and_the_last_ends_in_silence(frames):
    x = torch.ones(1, frames, 2)
    evened_out = evened(x, 6)
    chunks = chunked(evened_out, 6)
    assert frames < evened_out.shape[1] <= frames + 6
    assert chunks.shape[1] % 2 == 0
    assert chunks.sum() == 2 * x.sum()


@pytest.mark.parametrize("silence", ["around", "after"])
@pytest.mark.parametrize("frames", [1, 3, 5, 6, 14])
def test_masks_are_for_every_frame(frames, silence):
    net = GatedDualPathRNN(**DUAL, masks="relu", silence=silence).eval()
    masks = net(torch.rand(2, frames, 6))
    assert masks.shape == (2, 2, frames, 6)
    assert (masks >= 0).all()


def test_the_nearest_picture_is_joined():
    fusion = ConcatFusion(2, 1, nearest=True)
    nn.init.ones_(fusion.project.weight[:, 2:])
    joined = fusion(torch.zeros(1, 6, 2), torch.tensor([[[1.0], [2.0], [4.0]]]))
    assert joined[0, :, 0].tolist() == [1, 1, 2, 2, 4, 4]
    assert ConcatFusion(2, 1).init_args["nearest"] is False


def test_separable_blocks_are_residual_but_for_the_first():
    lips = LipEncoder(**LIPS, separable=True, temporal_kernel=5).eval()
    enter, first, *others = lips.temporal
    assert (enter.out_channels, first.depthwise.in_channels, first.pointwise.out_channels) == (6, 6, 5)
    assert [(block.first, block.depthwise.kernel_size) for block in others] == [(False, (5,))] * 2
    for block in others:
        nn.init.zeros_(block.pointwise.weight)
        nn.init.zeros_(block.pointwise.bias)
    pictures = torch.randn(2, 6, 9)
    assert torch.equal(nn.Sequential(first, *others)(pictures), first(pictures))
    assert lips(torch.rand(2, 7, 16, 16)).shape == (2, 7, 5)


def test_gray_levels_are_those_that_are_given():
    pictures = torch.rand(1, 3, 16, 16)
    prepared = LipEncoder(**LIPS, mean=0.25, deviation=0.5).prepare(pictures)
    assert torch.allclose(prepared[:, 0], (pictures - 0.25) / 0.5)


@pytest.mark.parametrize(
    ("part", "arguments", "message"),
    [
        (TemporalConvNet, TCN | {"enter_norm": "x"}, "enter_norm is 'x'; it must be one of"),
        (TemporalConvNet, TCN | {"eps": 0.0}, "eps is 0.0; it must be above 0 and at most 1"),
        (TemporalConvNet, TCN | {"ending": "x"}, "ending is 'x'; it must be one of prelu_norm, norm_prelu, none"),
        (GatedDualPathRNN, DUAL | {"masks": "tanh"}, "masks is 'tanh'; it must be one of sigmoid, relu"),
        (GatedDualPathRNN, DUAL | {"silence": "x"}, "silence is 'x'; it must be one of around, after"),
        (ConcatFusion, {"audio_channels": 2, "video_channels": 1, "nearest": 1}, "nearest is 1; it must be true"),
        (LipEncoder, LIPS | {"deviation": 0.0}, "deviation is 0.0; it must be above 0"),
        (LipEncoder, LIPS | {"separable": 1}, "separable is 1; it must be true or false"),
        (LipEncoder, LIPS | {"temporal_kernel": 5}, "temporal_kernel is 5; it must be odd, and 3 unless separable"),
        (LipEncoder, LIPS | {"separable": True, "temporal_kernel": 4}, "temporal_kernel is 4; it must be odd"),
        (LipEncoder, LIPS | {"separable": True, "temporal_blocks": 0}, "temporal_blocks is 0; separable ones are"),
    ],
)
def test_what_cannot_be_built_is_named(part: type[Part], arguments, message):
    with pytest.raises(ValueError, match=message):
        part(**arguments)
