"""The models' invariants: lengths, causality, sharing of the audio work, and the sizes of the papers."""

import pytest
import torch

from avsep.embeddings.lip import LipEncoder
from avsep.embeddings.voice import VoiceEncoder
from avsep.models.audio_only import AudioOnly
from avsep.models.audio_visual import AudioVisual
from avsep.models.decoder import Decoder
from avsep.models.encoder import Encoder
from avsep.models.layers import CumulativeLayerNorm, DepthwiseConv, PReLU
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.synchrony import Synchrony, correlation

SMALL = {"filters": 16, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}
LIP = {"channels": 8, "widths": (4, 4, 8, 8), "temporal_channels": 8, "temporal_blocks": 1, "size": 32}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("time", [1, 19, 20, 640, 641, 3200])
def test_length_in_is_length_out(time):
    model = AudioOnly(**SMALL)
    assert model(torch.randn(2, time)).shape == (2, 2, time)


def test_encoder_and_decoder_cover_every_sample_equally():
    encoder, decoder = Encoder(4, 8, 4), Decoder(4, 8, 4)
    with torch.no_grad():
        encoder.conv.weight.zero_()
        encoder.conv.weight[0, 0] = 1.0
        decoder.conv.weight.zero_()
        decoder.conv.weight[0, 0] = 1.0
    out = decoder(encoder(torch.ones(1, 37)).unsqueeze(1), 37)[0, 0]
    inner = out[4:-8]
    assert torch.allclose(inner, inner[0].expand_as(inner))


def test_louder_in_is_louder_out():
    model = AudioOnly(**SMALL).eval()
    x = torch.randn(1, 4000)
    assert torch.allclose(model(4 * x), 4 * model(x), rtol=1e-3, atol=1e-4)


def test_causal_separator_does_not_see_the_future():
    net = TemporalConvNet(16, 8, 12, 8, 3, 3, 2, 2, norm="cLN", causal=True).eval()
    frames = torch.rand(1, 16, 60)
    changed = frames.clone()
    changed[..., 40:] = torch.rand(1, 16, 20)
    before, after = net(frames), net(changed)
    assert torch.allclose(before[..., :40], after[..., :40], atol=1e-6)
    assert not torch.allclose(before[..., 40:], after[..., 40:])


def test_cumulative_norm_equals_a_loop_over_frames():
    norm = CumulativeLayerNorm(3)
    x = torch.randn(2, 3, 7)
    for frame in range(7):
        past = x[..., : frame + 1]
        mean, var = past.mean((1, 2)), past.var((1, 2), unbiased=False)
        expected = (x[..., frame] - mean[:, None]) / (var[:, None] + 1e-8).sqrt()
        assert torch.allclose(norm(x)[..., frame], expected, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_depthwise_conv_equals_a_grouped_convolution(causal):
    layer = DepthwiseConv(5, 3, 4, causal)
    x = torch.randn(2, 5, 30)
    padded = torch.nn.functional.pad(x, (8, 0) if causal else (4, 4))
    expected = torch.nn.functional.conv1d(padded, layer.weight.permute(1, 2, 0), layer.bias[:, 0], dilation=4, groups=5)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_conv_tasnet_has_the_papers_size():
    model = AudioOnly(2, 512, 16, 8, 128, 512, 128, 3, 8, 3)
    assert model.parameter_count == pytest.approx(5.1e6, rel=0.02)


def test_resnet18_lip_encoder_has_the_literatures_size():
    encoder = LipEncoder()
    front = sum(p.numel() for p in (*encoder.stem.parameters(), *encoder.trunk.parameters()))
    assert front == pytest.approx(11.2e6, rel=0.02)
    assert encoder(torch.rand(1, 3, 96, 96)).shape == (1, 3, 256)


def test_faces_in_one_batch_equal_faces_one_by_one():
    model = AudioVisual(**SMALL, lip=LIP).eval()
    mixture, lips = torch.randn(2, 3200), torch.rand(2, 3, 5, 96, 96)
    together = model(mixture, lips)
    assert together.shape == (2, 3, 3200)
    for face in range(3):
        assert torch.allclose(together[:, face], model(mixture, lips[:, face : face + 1])[:, 0], atol=1e-5)


def test_audio_encoder_runs_once_for_all_faces():
    model = AudioVisual(**SMALL, lip=LIP).eval()
    seen = []
    model.encoder.register_forward_hook(lambda m, args, out: seen.append(args[0].shape[0]))
    model.separator.repeats_before[0].register_forward_hook(lambda m, args, out: seen.append(args[0].shape[0]))
    model(torch.randn(1, 3200), torch.rand(1, 4, 5, 96, 96))
    assert seen == [1, 1]


def test_other_lips_give_another_estimate():
    model = AudioVisual(**SMALL, lip=LIP).eval()
    out = model(torch.randn(1, 3200), torch.rand(1, 2, 5, 96, 96))
    assert not torch.allclose(out[:, 0], out[:, 1])


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"norm is 'batch'; it must be one of \['cLN', 'gLN'\]"):
        AudioOnly(**SMALL, norm="batch")
    with pytest.raises(ValueError, match="fuse_after is 2; it must be 0 to repeats - 1 = 1"):
        AudioVisual(**SMALL, fuse_after=2, lip=LIP)
    with pytest.raises(ValueError, match="must be a multiple of its stride"):
        AudioOnly(**SMALL, kernel=30)


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
