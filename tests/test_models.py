"""The models' invariants: lengths, causality, sharing of the audio work, and the sizes of the papers."""

import pytest
import torch
import torchaudio

from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.base import Output
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.layers import CumulativeLayerNorm, DepthwiseConv, GlobalLayerNorm, PReLU
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.parts.voice_encoder import VoiceEncoder
from avsep.models.refined import Refined
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.synchrony import Synchrony, correlation
from avsep.models.synchrony_ensemble import SynchronyEnsemble, join

SMALL = {"filters": 16, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}
LIP = {"channels": 8, "widths": (4, 4, 8, 8), "temporal_channels": 8, "temporal_blocks": 1, "size": 32}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def estimates_of(model, mixture, lips=None):
    """Mono estimates (batch, sources, time) of a mono mixture (batch, time)."""
    cues = {} if lips is None else {"lips": lips}
    return model(mixture.unsqueeze(1), **cues).estimates.squeeze(2)


@pytest.mark.parametrize("time", [1, 19, 20, 640, 641, 3200])
def test_length_in_is_length_out(time):
    model = ConvTasNet(**SMALL)
    assert model(torch.randn(2, 1, time)).estimates.shape == (2, 2, 1, time)


def test_encoder_and_decoder_cover_every_sample_equally():
    encoder, decoder = Encoder(4, 8, 4), Decoder(4, 8, 4)
    with torch.no_grad():
        encoder.conv.weight.zero_()
        encoder.conv.weight[0, 0] = 1.0
        decoder.conv.weight.zero_()
        decoder.conv.weight[0, 0] = 1.0
    out = decoder(encoder(torch.ones(1, 1, 37))[1].unsqueeze(1), 37)[0, 0]
    inner = out[4:-8]
    assert torch.allclose(inner, inner[0].expand_as(inner))


def test_louder_in_is_louder_out():
    model = ConvTasNet(**SMALL).eval()
    x = torch.randn(1, 4000)
    assert torch.allclose(estimates_of(model, 4 * x), 4 * estimates_of(model, x), rtol=1e-3, atol=1e-4)


def test_causal_separator_does_not_see_the_future():
    net = TemporalConvNet(16, 8, 12, 8, 3, 3, 2, 2, norm="cLN", causal=True).eval()
    frames = torch.rand(1, 60, 16)
    changed = frames.clone()
    changed[:, 40:] = torch.rand(1, 20, 16)
    before, after = net(frames), net(changed)
    assert torch.allclose(before[:, :, :40], after[:, :, :40], atol=1e-6)
    assert not torch.allclose(before[:, :, 40:], after[:, :, 40:])


def test_cumulative_norm_equals_a_loop_over_frames():
    norm = CumulativeLayerNorm(3)
    x = torch.randn(2, 7, 3)
    for frame in range(7):
        past = x[:, : frame + 1]
        mean, var = past.mean((1, 2)), past.var((1, 2), unbiased=False)
        expected = (x[:, frame] - mean[:, None]) / (var[:, None] + 1e-8).sqrt()
        assert torch.allclose(norm(x)[:, frame], expected, atol=1e-5)


def test_global_norm_equals_group_norm_and_has_its_gradients():
    norm = GlobalLayerNorm(3).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 5 + torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    expected = torch.nn.functional.group_norm(x.transpose(1, 2), 1, norm.weight, norm.bias, 1e-8).transpose(1, 2)
    assert torch.allclose(norm(x), expected)
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, norm.weight, norm.bias))


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_prelu_and_depthwise_conv_have_the_gradients_of_their_definition(kernel):
    prelu, conv = PReLU().double(), DepthwiseConv(3, kernel, 2, causal=False).double()
    x = torch.randn(2, 9, 3, dtype=torch.float64, requires_grad=True)
    parameters = [conv.weight, conv.bias, prelu.weight]
    assert torch.autograd.gradcheck(lambda x, *_: prelu(conv(x)), (x, *parameters))


def test_gradients_in_half_precision_are_close_to_those_in_single():
    prelu, conv = PReLU(), DepthwiseConv(4, 3, 2, causal=True)
    x, weight = torch.randn(2, 300, 4), torch.randn(2, 300, 4)
    grads = {}
    for dtype in (torch.float32, torch.bfloat16):
        loss = (prelu(conv(x.to(dtype))) * weight).sum()
        grads[dtype] = torch.autograd.grad(loss, [conv.weight, conv.bias, prelu.weight])
    for single, half in zip(*grads.values(), strict=True):
        assert half.dtype == torch.float32
        assert (half - single).norm() < 0.02 * single.norm()


@pytest.mark.parametrize("frames", [1, 5, 6, 11])
def test_depthwise_conv_reaches_beyond_a_short_signal(frames):
    layer = DepthwiseConv(3, 3, 8, causal=False)
    x = torch.randn(1, frames, 3)
    expected = torch.nn.functional.conv1d(
        x.transpose(1, 2), layer.weight.t().unsqueeze(1), layer.bias, padding=8, dilation=8, groups=3
    )
    assert torch.allclose(layer(x), expected.transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
def test_depthwise_conv_equals_a_grouped_convolution(causal):
    layer = DepthwiseConv(5, 3, 4, causal)
    x = torch.randn(2, 30, 5)
    padded = torch.nn.functional.pad(x.transpose(1, 2), (8, 0) if causal else (4, 4))
    expected = torch.nn.functional.conv1d(padded, layer.weight.t().unsqueeze(1), layer.bias, dilation=4, groups=5)
    assert torch.allclose(layer(x), expected.transpose(1, 2), atol=1e-6)


def test_conv_tasnet_has_the_papers_size_and_receptive_field():
    model = ConvTasNet(2, 512, 16, 8, 128, 512, 128, 3, 8, 3, sample_rate=8000)
    assert model.parameter_count == pytest.approx(5.1e6, rel=0.01)
    assert model.separator.receptive_field * 8 / 8000 == pytest.approx(1.53, abs=0.005)


def test_receptive_field_is_what_the_gradient_says():
    net = TemporalConvNet(4, 3, 5, 2, 3, 3, 2, 1, norm="cLN").eval()
    for block in net.modules():
        if isinstance(block, torch.nn.Sequential) and len(block) == 6:
            block[2] = block[5] = torch.nn.Identity()  # a norm reaches everything
    net.enter[0] = torch.nn.Identity()
    frames = torch.rand(1, 99, 4, requires_grad=True)
    net(frames)[:, :, 49].sum().backward()
    heard = frames.grad[0].abs().sum(1).nonzero()[:, 0]
    assert heard[-1] - heard[0] + 1 == net.receptive_field == 29


def test_the_whole_causal_model_reaches_no_further_ahead_than_one_kernel():
    model = ConvTasNet(**SMALL, skip=8, norm="cLN", causal=True).eval()
    mixture = torch.randn(1, 4000)
    changed = mixture.clone()
    changed[:, 2000:] = 3 * torch.randn(1, 2000)
    before, after = estimates_of(model, mixture), estimates_of(model, changed)
    unmoved = 2000 - (40 - 1)
    assert torch.equal(before[..., :unmoved], after[..., :unmoved])
    assert not torch.allclose(before[..., unmoved : unmoved + 40], after[..., unmoved : unmoved + 40])


def test_model_and_gradients_equal_torchaudios():
    sizes = {"filters": 24, "bottleneck": 8, "hidden": 12, "blocks": 3, "repeats": 2}
    ours = ConvTasNet(**sizes, kernel=16, stride=8, skip=8)
    theirs = torchaudio.models.ConvTasNet(2, 16, 24, 3, 8, 12, 3, 2)
    with torch.no_grad():
        theirs.encoder.weight.abs_()  # theirs lacks the ReLU, which then does nothing to a positive mixture
        for p in theirs.mask_generator.conv_layers.parameters():
            p.add_(0.1 * torch.randn_like(p))
    ours.load_state_dict(from_torchaudio(theirs.state_dict()))
    mixture = torch.rand(3, 1003)
    outputs = [estimates_of(ours, mixture), theirs(mixture.unsqueeze(1))]
    assert torch.allclose(*outputs, atol=1e-5)
    target = torch.randn(3, 2, 1003)
    for estimates in outputs:
        (estimates - target).square().sum().backward()
    expected = from_torchaudio({name: p.grad for name, p in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        assert torch.allclose(parameter.grad, expected[name], rtol=1e-3, atol=1e-3 * expected[name].abs().max()), name


def from_torchaudio(state):
    """Tensors of torchaudio's ConvTasNet (weights, or gradients of them) under our names and in our shapes."""
    outer = {"encoder": "encoder.conv", "decoder": "decoder.conv", "output_prelu": "separator.to_masks.0"}
    outer |= {
        "input_norm": "separator.enter.0",
        "input_conv": "separator.enter.1",
        "output_conv": "separator.to_masks.1",
    }
    ours = {}
    state = {name: value[..., 0] if value.shape[2:] == (1,) else value for name, value in state.items()}
    for name, value in state.items():
        *path, kind = name.removeprefix("mask_generator.").split(".")
        if path[0] != "conv_layers":
            ours[f"{outer[path[0]]}.{kind}"] = value
        elif path[2] == "conv_layers":
            if path[3] == "3":
                value = value.squeeze(1).t() if kind == "weight" else value
            ours[f"{block_name(path[1])}.body.{path[3]}.{kind}"] = value
        elif path[2] == "skip_out":
            residual = state.get(name.replace("skip_out", "res_out"), torch.zeros_like(value))
            ours[f"{block_name(path[1])}.out.{kind}"] = torch.cat([residual, value])
    return ours


def block_name(number):
    return f"separator.repeats_after.{int(number) // 3}.blocks.{int(number) % 3}"


def test_resnet18_lip_encoder_has_the_literatures_size():
    encoder = LipEncoder()
    front = sum(p.numel() for p in (*encoder.stem.parameters(), *encoder.trunk.parameters()))
    assert front == pytest.approx(11.2e6, rel=0.02)
    assert encoder(torch.rand(1, 3, 96, 96)).shape == (1, 3, 256)


def test_faces_in_one_batch_equal_faces_one_by_one():
    model = AVConvTasNet(**SMALL, lip=LIP).eval()
    mixture, lips = torch.randn(2, 3200), torch.rand(2, 3, 5, 96, 96)
    together = estimates_of(model, mixture, lips)
    assert together.shape == (2, 3, 3200)
    for face in range(3):
        one = estimates_of(model, mixture, lips[:, face : face + 1])
        assert torch.allclose(together[:, face], one[:, 0], atol=1e-5)


def test_audio_encoder_runs_once_for_all_faces():
    model = AVConvTasNet(**SMALL, lip=LIP).eval()
    seen = []
    model.encoder.register_forward_hook(lambda m, args, out: seen.append(args[0].shape[0]))
    model.separator.repeats_before[0].register_forward_hook(lambda m, args, out: seen.append(args[0].shape[0]))
    estimates_of(model, torch.randn(1, 3200), torch.rand(1, 4, 5, 96, 96))
    assert seen == [1, 1]


def test_other_lips_give_another_estimate():
    model = AVConvTasNet(**SMALL, lip=LIP).eval()
    out = estimates_of(model, torch.randn(1, 3200), torch.rand(1, 2, 5, 96, 96))
    assert not torch.allclose(out[:, 0], out[:, 1])


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"norm is 'batch'; it must be one of \['cLN', 'channel', 'gLN'\]"):
        ConvTasNet(**SMALL, norm="batch")
    with pytest.raises(ValueError, match="fuse_after is 2; it must be 0 to repeats - 1 = 1"):
        AVConvTasNet(**SMALL, fuse_after=2, lip=LIP)
    with pytest.raises(ValueError, match="must be a multiple of its stride"):
        ConvTasNet(**SMALL, kernel=30)


@pytest.mark.parametrize("pictures", [1, 12, 50])
def test_voice_has_one_embedding_a_picture(pictures):
    assert VoiceEncoder(8, 8, 1)(torch.randn(2, pictures * 640)).shape == (2, pictures, 8)


def test_voice_embedding_does_not_depend_on_level():
    encoder = VoiceEncoder(8, 8, 1).eval()
    x = torch.randn(1, 16000)
    assert torch.allclose(encoder(x), encoder(0.01 * x), atol=1e-2)


def test_voice_embedding_follows_a_shift_by_whole_pictures():
    encoder = VoiceEncoder(8, 8, 1).eval()
    x = torch.randn(1, 640 * 60)
    a, b = encoder(x)[0, 20:40], encoder(x.roll(640 * 5, 1))[0, 25:45]
    assert torch.allclose(a, b, atol=1e-3)


def test_correlation_is_one_for_equal_and_zero_for_unrelated():
    x = torch.randn(4, 50, 16)
    assert torch.allclose(correlation(x, 3 * x + 1), torch.ones(4), atol=1e-4)
    assert correlation(x, torch.randn(4, 50, 16)).abs().max() < 0.15


def test_synchrony_takes_lips_and_sound():
    model = Synchrony(lip=LIP | {"motion": True}, voice={"channels": 8, "width": 8, "temporal_blocks": 1}).eval()
    score = model(torch.rand(2, 25, 96, 96), torch.randn(2, 16000))
    assert score.shape == (2,)
    assert score.abs().max() <= 1


SYNCHRONY = {"lip": LIP, "voice": {"channels": 8, "width": 8, "temporal_blocks": 1}}


def test_an_ensemble_has_the_mean_correlation_of_its_members():
    members = [Synchrony(**SYNCHRONY).eval() for _ in range(3)]
    # One that shouts is to have no more of a say.
    members[1].lips.temporal[-1].weight.data *= 50
    lips, sound = torch.rand(2, 30, 96, 96), torch.randn(2, 30 * 640)
    joined = join(members, lips, sound)
    assert joined.lips.channels == 24
    with torch.no_grad():
        mean = torch.stack([member(lips, sound) for member in members]).mean(0)
        assert torch.allclose(joined(lips, sound), mean, atol=0.1)
        powers = joined.lips(lips).unflatten(2, (3, 8)).var(1).sum(-1).mean(0)
    assert torch.allclose(powers, powers.mean().expand(3), rtol=1e-3)


def test_members_share_what_they_prepare_alike():
    kinds = [LIP, LIP, LIP | {"size": 24}, LIP]
    joined = SynchronyEnsemble([{"lip": kind, "voice": SYNCHRONY["voice"]} for kind in kinds]).eval()
    lips = torch.rand(2, 30, 96, 96)
    with torch.no_grad():
        alone = torch.cat([encoder(lips) for encoder in joined.lips.encoders], -1)
        assert torch.equal(joined.lips(lips), alone)


def refined() -> Refined:
    return Refined(ConvTasNet(**SMALL), Synchrony(**SYNCHRONY), **SMALL)


def test_refined_trains_neither_its_first_model_nor_its_synchrony():
    model = refined().train()
    kept = {k: v.clone() for k, v in model.state_dict().items() if k.startswith(("first.", "synchrony."))}
    estimates = estimates_of(model, torch.randn(2, 6400), torch.rand(2, 2, 10, 96, 96))
    assert estimates.shape == (2, 2, 6400)
    estimates.square().mean().backward()
    assert model.add_own.weight.grad is not None
    assert all(p.grad is None for name, p in model.named_parameters() if name.startswith(("first.", "synchrony.")))
    assert all(torch.equal(model.state_dict()[k], v) for k, v in kept.items())


def test_refined_takes_the_estimate_that_goes_with_the_lips(monkeypatch):
    model = refined().eval()
    sounds, lips = torch.randn(1, 2, 6400), torch.rand(1, 1, 10, 96, 96)
    monkeypatch.setattr(model.first, "forward", lambda mixture: Output(sounds.unsqueeze(2)))
    seen = model.synchrony.lips(lips[0])
    # The voice of the second estimate is what the lips show.
    monkeypatch.setattr(model.synchrony.voice, "forward", lambda x: torch.cat([-seen, seen]))
    own, features = model.choose(sounds.sum(1, keepdim=True), lips)
    assert torch.allclose(own[0], sounds[0, 1], atol=1e-4)
    # Nothing is learnt yet that would change it.
    assert torch.allclose(estimates_of(model, sounds.sum(1), lips)[0, 0], sounds[0, 1], atol=1e-4)
    assert features[0, :, -1] == pytest.approx(1.0, abs=1e-3)
