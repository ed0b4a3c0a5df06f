"""Conv-TasNet with a gammatone filter bank: the bank, its pseudo-inverse, what is fixed, sizes, and learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.inference.streaming import StreamingSeparator
from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.build import build_model
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.gammatone_tasnet import GammatoneTasNet
from avsep.models.parts.gammatone import GammatoneDecoder, GammatoneEncoder, centre_frequencies, gammatones

TINY = {"filters": 48, "kernel": 16, "stride": 8, "bottleneck": 6, "hidden": 8, "blocks": 2, "repeats": 2}


CASES = [(48, 8000, 1e-5), (512, 8000, 1e-5), (128, 16_000, 0.01)]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_centre_frequencies_are_1_apart_on_the_erb_scale():
    centres = centre_frequencies(8000)
    assert len(centres) == 24
    assert centres[0] == pytest.approx(100)
    assert centres[-1] < 4000
    erb = 9.265 * np.log(1 + centres / (24.7 * 9.265))
    np.testing.assert_allclose(np.diff(erb), 1)
    assert len(centre_frequencies(16_000)) == 30
    np.testing.assert_allclose(centre_frequencies(16_000)[:24], centres)


def test_filters_are_gammatones_of_energy_1_in_pairs_of_both_signs():
    bank = gammatones(104, 16, 8000)
    assert bank.shape == (104, 16)
    np.testing.assert_allclose(np.square(bank).sum(1), 1)
    np.testing.assert_array_equal(bank[:52], -bank[52:])
    # 52 pairs for 24 centre frequencies: 3 phases for the first four of them, 2 for the others.
    t = np.arange(1, 17) / 8000
    for row, centre, phase in ((0, 0, 0), (1, 0, np.pi / 3), (2, 0, 2 * np.pi / 3), (12, 4, 0), (51, 23, np.pi / 2)):
        frequency = centre_frequencies(8000)[centre]
        bandwidth = (24.7 + 0.108 * frequency) / (np.pi / 2)
        expected = t * np.exp(-2 * np.pi * bandwidth * t) * np.cos(2 * np.pi * frequency * t + phase)
        np.testing.assert_allclose(bank[row], expected / np.linalg.norm(expected), err_msg=str(row))


def test_a_tone_is_strongest_in_the_filters_of_its_frequency():
    # Long filters, so that they part the frequencies.
    centres = centre_frequencies(8000)
    encoder = GammatoneEncoder(96, 256, 128, 8000)
    for centre in (3, 12, 20):
        tone = torch.sin(2 * np.pi * float(centres[centre]) * torch.arange(4000) / 8000)
        strongest = encoder(tone[None, None])[0][0, 4:-4].mean(0).argmax().item()
        assert strongest % 48 // 2 == centre


@pytest.mark.parametrize(
    ("filters", "sample_rate", "tolerance"), [(48, 8000, 1e-5), (512, 8000, 1e-5), (128, 16_000, 0.01)]
)
def test_the_pseudo_inverse_gives_back_the_waveform(filters, sample_rate, tolerance):
    kernel = sample_rate // 500
    shape = (filters, kernel, kernel // 2, sample_rate)
    frames, _ = GammatoneEncoder(*shape)(waveform := torch.rand(2, 1, 1003) - 0.5)
    assert (frames >= 0).all()
    back = GammatoneDecoder(*shape)(frames.unsqueeze(1), 1003)
    torch.testing.assert_close(back, waveform, atol=tolerance, rtol=0)


def test_the_filter_bank_is_neither_trained_nor_saved():
    model = GammatoneTasNet(**TINY, decoder="inverse", sample_rate=8000)
    assert not [name for name in model.state_dict() if not name.startswith("separator.")]
    assert not [name for name, _ in model.named_parameters() if not name.startswith("separator.")]
    again = build_model(model.class_path, model.init_args).eval()
    again.load_state_dict(model.state_dict())
    mixture = torch.randn(1, 1, 200)
    assert torch.equal(again(mixture).estimates, model.eval()(mixture).estimates)


def test_it_is_conv_tasnet_without_the_encoders_weights():
    with torch.device("meta"):
        learned = ConvTasNet(**ConvTasNet.paper_args).parameter_count
    assert GammatoneTasNet(**GammatoneTasNet.paper_args).parameter_count == learned - 512 * 16


@pytest.mark.parametrize("decoder", ["learned", "inverse"])
@pytest.mark.parametrize("time", [1, 8, 203])
def test_length_in_is_length_out(decoder, time):
    model = GammatoneTasNet(3, **TINY, decoder=decoder, sample_rate=8000).eval()
    assert model(torch.randn(2, 1, time)).estimates.shape == (2, 3, 1, time)


def test_causal_where_the_separator_is():
    model = GammatoneTasNet(**TINY, norm="cLN", causal=True, sample_rate=8000).eval()
    mixture = torch.randn(1, 1, 400)
    changed = mixture.clone()
    changed[..., 200:] = 0
    assert torch.allclose(model(mixture).estimates[..., :184], model(changed).estimates[..., :184], atol=1e-6)
    assert not torch.allclose(model(mixture).estimates[..., 190:200], model(changed).estimates[..., 190:200], atol=1e-6)


@pytest.mark.parametrize("decoder", ["learned", "inverse"])
def test_a_stream_gives_what_the_whole_mixture_gives(decoder):
    model = GammatoneTasNet(**TINY, norm="cLN", causal=True, decoder=decoder, sample_rate=8000).eval()
    mixture = torch.randn(1, 1, 203)
    stream = StreamingSeparator(model)
    pieces = [*(stream.feed(piece) for piece in mixture[:, 0].split(37, dim=1)), stream.finish()]
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(pieces, 2), model(mixture).estimates[:, :, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": 49}, "filters is 49; it must be even: gammatones come in pairs of both signs"),
        ({"filters": 5000}, "filters is 5000; it must be a whole number from 2 to 4096"),
        ({"kernel": 8192, "stride": 4096}, "kernel is 8192; it must be a whole number from 1 to 4096"),
        ({"decoder": "fixed"}, "decoder is 'fixed'; it must be one of learned, inverse"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        GammatoneTasNet(**TINY | changes)


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"filters": 96, "kernel": 16, "stride": 8, "bottleneck": 32, "hidden": 64, "blocks": 4, "repeats": 2}
    model = GammatoneTasNet(**sizes, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.25))
