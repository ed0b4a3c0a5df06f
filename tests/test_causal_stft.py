"""The STFT of streams: nothing is lost, nothing is known too soon, and levels are those of what went by."""

from __future__ import annotations

import pytest
import torch

from avsep.dsp.stft import power_law
from avsep.models.parts.causal_stft import (
    CausalStftDecoder,
    CausalStftEncoder,
    CumulativeLevel,
    analysis_window,
    synthesis_window,
)

SIZES = pytest.mark.parametrize(("window", "stride"), [(512, 128), (64, 32), (40, 10), (512, 64)])


@SIZES
@pytest.mark.parametrize("time", [1, 127, 128, 4001])
def test_what_is_not_masked_comes_back(window, stride, time):
    waveform = torch.randn(2, 1, time)
    features, bins = CausalStftEncoder(window, stride)(waveform)
    frames = 1 + -(-time // stride)
    assert features.shape == (2, frames, 3 * (window // 2 + 1))
    assert bins.shape == (2, frames, window // 2 + 1)
    torch.testing.assert_close(CausalStftDecoder(window, stride)(bins.unsqueeze(1), time), waveform)


@SIZES
def test_both_windows_make_hann_windows_that_add_up_to_one(window, stride):
    product = analysis_window(window, stride)[-2 * stride :] * synthesis_window(window, stride)
    torch.testing.assert_close(product, torch.hann_window(2 * stride))
    torch.testing.assert_close(product[:stride] + product[stride:], torch.ones(stride))


def test_a_sample_depends_on_none_that_comes_two_strides_later():
    encoder, decoder = CausalStftEncoder(64, 16), CausalStftDecoder(64, 16)
    waveform = torch.randn(1, 1, 640)
    changed = waveform.clone()
    changed[..., 320:] += 1
    outputs = []
    for sound in (waveform, changed):
        features, bins = encoder(sound)
        outputs.append(decoder(bins.unsqueeze(1) * features[..., :33].unsqueeze(1).sigmoid(), 640))
    same = (outputs[0] == outputs[1])[0, 0]
    assert same[: 320 - 16].all()  # those of the frames that ended before the change
    assert not same[320:].any()


def test_features_are_compressed_bins_at_the_level_so_far():
    encoder = CausalStftEncoder(64, 16)
    waveform = 0.01 * torch.randn(1, 1, 32_000)
    features, bins = encoder(waveform)
    scaled = bins / waveform.square().mean().sqrt()
    torch.testing.assert_close(features[:, -1, :33], power_law(scaled)[:, -1].real, rtol=0.05, atol=0.05)
    louder, _ = encoder(100 * waveform)
    torch.testing.assert_close(louder, features, rtol=1e-3, atol=1e-3)


def test_a_level_is_the_root_of_the_mean_so_far():
    levels = CumulativeLevel()(torch.tensor([1.0, 7.0, 4.0])[None, :, None])
    torch.testing.assert_close(levels[0, :, 0], torch.tensor([1.0, 2.0, 2.0]))


def test_silence_has_features():
    features, _ = CausalStftEncoder(64, 16)(torch.zeros(1, 1, 100))
    assert features.isfinite().all()


@pytest.mark.parametrize(("window", "stride", "power"), [(63, 16, 0.3), (64, 33, 0.3), (64, 0, 0.3), (64, 16, 0.0)])
def test_sizes_that_cannot_be(window, stride, power):
    with pytest.raises(ValueError, match=r"expected|must be"):
        CausalStftEncoder(window, stride, power)
