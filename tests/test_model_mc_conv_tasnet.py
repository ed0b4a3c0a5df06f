"""Multi-channel Conv-TasNet: what differs between microphones, and how it reaches the separator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional
from two_talkers import steps_to, two_mixtures_in_a_room

from avsep.inference.sliding import refined
from avsep.losses.objective import as_objective
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.masking import MaskingModel
from avsep.models.mc_conv_tasnet import MultiChannelConvTasNet
from avsep.models.mc_split_tasnet import MultiChannelSplitTasNet
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.inter_channel import ArrayEncoder, ConvolutionDifferences, PhaseDifferences
from avsep.models.separators.conv_tasnet import TemporalConvNet
from avsep.models.split_tasnet import SplitTasNet

SPLIT = {"window": 64, "stride": 16, "channels": 8, "hidden": 12, "blocks": 2}
SIZES = {"filters": 16, "kernel": 8, "stride": 4, "bottleneck": 8, "hidden": 12, "skip": 8, "blocks": 2, "repeats": 2}
FEATURES = {"ipd": lambda: PhaseDifferences(64, 16), "icd": lambda: ConvolutionDifferences(6, 8, 4)}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture(params=[*FEATURES, "split"])
def model(request) -> MaskingModel:
    if request.param == "split":
        return MultiChannelSplitTasNet(**SPLIT, pair_hidden=10).eval()
    return MultiChannelConvTasNet(**SIZES, features=FEATURES[request.param](), pair_hidden=10).eval()


def test_phase_differences_of_a_delay_are_its_angles():
    window, delay = 64, 3
    x = torch.randn(1, 1, 4000, dtype=torch.float64)
    found = PhaseDifferences(window, 16)(torch.cat([x, 0.01 * x.roll(delay, 2)], dim=1))
    assert found.shape == (1, 1, 251, 66)
    cosines, sines = found[0, 0, 5:-5].chunk(2, dim=1)
    angles = 2 * np.pi * delay * torch.arange(33) / window
    expected = torch.polar(torch.ones(33), angles.float())
    # A circular delay of the window's inside: the bins know it but for what enters and leaves.
    likeness = (cosines * expected.real + sines * expected.imag)[:, 1:-1].median(0).values
    assert (likeness > 0.95).all()
    length = (cosines.square() + sines.square()).sqrt()
    assert length.max() < 1 + 1e-6
    assert length.flatten().quantile(0.01) > 1 - 1e-4  # all but bins next to silence


def test_a_silent_bin_has_no_phase_and_its_gradient_is_a_number():
    mixture = torch.zeros(1, 3, 200, requires_grad=True)
    found = PhaseDifferences(64, 16)(mixture)
    found.sum().backward()
    assert torch.equal(found, torch.zeros_like(found))
    assert mixture.grad.isfinite().all()


def test_convolution_differences_begin_as_differences():
    part = ConvolutionDifferences(6, 8, 4)
    x = torch.randn(2, 3, 41)
    edge = (4, 4 + 3)
    differences = functional.pad(x[:, :1] - x[:, 1:], edge).flatten(0, 1).unsqueeze(1)
    expected = part.norm(functional.conv1d(differences, part.filters.weight.unsqueeze(1), stride=4).mT)
    assert torch.allclose(part(x).flatten(0, 1), expected, atol=1e-5)


@pytest.mark.parametrize("features", [PhaseDifferences(64, 16), ConvolutionDifferences(6, 8, 4)])
def test_frames_get_the_features_that_are_nearest(features):
    encoder = ArrayEncoder(4, 8, 4, features, 5)
    count = 60
    frames = features(torch.randn(1, 2, 237)).shape[2]
    numbers = torch.arange(frames, dtype=torch.float32).expand(1, 4, -1).mT
    middle = torch.arange(count) * 4
    found = encoder.pairs.nearest(numbers, middle)[0, :, 0]
    distance = (middle[:, None] - (torch.arange(frames) * features.hop + features.centre)[None]).abs()
    assert torch.equal(distance.gather(1, found.long()[:, None])[:, 0], distance.amin(1))


def test_phase_differences_of_the_split_model_are_those_of_its_own_frames():
    encoder = MultiChannelSplitTasNet(**SPLIT).encoder
    features, bins = encoder(torch.randn(1, 3, 403))
    assert encoder.pairs.features(torch.randn(1, 3, 403)).shape[2] == features.shape[1] == bins.shape[1]


def test_sizes():
    model, mono = MultiChannelConvTasNet(), ConvTasNet(2, 512, 32, 16, 128, 512, 128, 3, 8, 3)
    more = 514 * 256 + 256 + 1 + 256 * 512 + 512
    assert model.parameter_count == mono.parameter_count + more == 5_330_354


@pytest.mark.parametrize("microphones", [2, 3, 8])
@pytest.mark.parametrize("time", [1, 4, 7, 403])
def test_length_in_is_length_out_for_any_number_of_microphones(model, microphones, time):
    estimates = model(torch.randn(2, microphones, time)).estimates
    assert estimates.shape == (2, 2, 1, time)
    assert estimates.isfinite().all()


def test_the_order_of_the_microphones_does_not_matter_but_for_the_first(model):
    mixture = torch.randn(1, 5, 600)
    expected = model(mixture).estimates
    assert torch.allclose(model(mixture[:, [0, 3, 1, 4, 2]]).estimates, expected, atol=1e-5)
    assert not torch.allclose(model(mixture[:, [1, 0, 2, 3, 4]]).estimates, expected, atol=1e-3)


def test_the_other_microphones_are_used(model):
    mixture = torch.randn(1, 3, 600)
    changed = torch.cat([mixture[:, :1], torch.randn(1, 2, 600)], dim=1)
    assert not torch.allclose(model(changed).estimates, model(mixture).estimates, atol=1e-4)


def test_microphones_filled_up_with_zeros_change_nothing(model):
    mixture = torch.randn(1, 3, 600)
    filled = functional.pad(mixture, (0, 0, 0, 2))
    assert torch.allclose(model(filled).estimates, model(mixture).estimates, atol=1e-5)


def test_louder_in_is_louder_out(model):
    mixture = torch.randn(1, 3, 600)
    assert torch.allclose(model(100 * mixture).estimates, 100 * model(mixture).estimates, rtol=1e-3, atol=1e-3)


def test_silence_gives_numbers_and_gradients(model):
    estimates = model(torch.zeros(1, 3, 300)).estimates
    estimates.square().sum().backward()
    assert estimates.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_gradients_reach_every_weight(model):
    model.train()(torch.randn(2, 3, 400)).estimates.square().sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_it_begins_with_what_one_microphone_learnt(model):
    mono = SplitTasNet(**SPLIT) if isinstance(model, SplitTasNet) else ConvTasNet(**SIZES)
    mono.eval()
    taken = model.warm_start(mono)
    assert set(taken) == set(mono.state_dict())
    mixture = torch.randn(1, 3, 600)
    with torch.no_grad():
        model.encoder.pairs.to_frames.weight.zero_()
    assert torch.allclose(model(mixture).estimates, mono(mixture[:, :1]).estimates, atol=1e-6)


def test_pairs_with_weights_of_their_own_take_one_number_of_microphones():
    fixed = {"pooled": False, "fewest_channels": 3, "most_channels": 3, "features": PhaseDifferences(64, 16)}
    model = MultiChannelConvTasNet(**SIZES | fixed).eval()
    mixture = torch.randn(1, 3, 300)
    assert model.contract.channels == (3, 3)
    assert not torch.allclose(model(mixture[:, [0, 2, 1]]).estimates, model(mixture).estimates, atol=1e-5)
    with pytest.raises(ValueError, match=r"expected \(batch, channels, time\) with 3 channels"):
        model(mixture[:, :2])
    with pytest.raises(ValueError, match="fewest_channels is 2 and most_channels 3; without pooled they must be equal"):
        MultiChannelConvTasNet(**SIZES | fixed | {"fewest_channels": 2})


def test_any_masking_model_may_have_the_encoder():
    """Channels are the encoder's affair: with lips, too, the model is told apart by nothing else."""
    model = MaskingModel(
        ArrayEncoder(8, 8, 4, PhaseDifferences(64, 16), 5, most_channels=4),
        TemporalConvNet(8, 4, 6, 0, 3, 2, 1, 3),
        Decoder(8, 8, 4),
        sample_rate=8000,
    )
    assert (model.contract.channels, model.contract.sources) == ((2, 4), 3)
    assert model(torch.randn(2, 4, 99)).estimates.shape == (2, 3, 1, 99)


def test_lips_join_as_with_one_microphone():
    lip = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1, "size": 24}
    sizes = {"filters": 8, "kernel": 8, "stride": 4, "bottleneck": 4, "hidden": 6, "blocks": 2, "repeats": 2}
    model = AVConvTasNet(**sizes, lip=lip, pairs=PhaseDifferences(64, 16), pair_hidden=5).eval()
    assert (model.contract.channels, model.contract.cues) == ((2, 8), ("lips",))
    mixture, lips = torch.randn(1, 4, 1600), torch.rand(1, 2, 3, 32, 32)
    estimates = model(mixture, lips=lips).estimates
    assert estimates.shape == (1, 2, 1, 1600)
    others = torch.cat([mixture[:, :1], torch.randn(1, 3, 1600)], 1)
    assert not torch.allclose(model(others, lips=lips).estimates, estimates, atol=1e-5)
    assert not torch.allclose(model(mixture, lips=lips.flip(1)).estimates, estimates, atol=1e-6)
    # The same class with one microphone gives it its weights.
    mono = AVConvTasNet(**sizes, lip=lip).eval()
    model.warm_start(mono)
    with torch.no_grad():
        model.encoder.pairs.to_frames.weight.zero_()
    assert torch.allclose(model(mixture, lips=lips).estimates, mono(mixture[:, :1], lips=lips).estimates, atol=1e-5)


def test_one_channel_is_fitted_to_the_first_of_the_mixture():
    rng = np.random.default_rng(0)
    estimates, mixture = rng.standard_normal((2, 1, 4000)), rng.standard_normal((3, 4000))
    assert np.array_equal(refined(estimates, mixture, 16_000), refined(estimates, mixture[:1], 16_000))


@pytest.mark.slow
@pytest.mark.parametrize("features", [PhaseDifferences(256, 64), ConvolutionDifferences(32)])
def test_it_learns_a_batch(features):
    sizes = {"filters": 64, "bottleneck": 32, "hidden": 64, "skip": 32, "blocks": 5, "repeats": 1, "pair_hidden": 32}
    model = MultiChannelConvTasNet(**sizes, features=features)
    steps_to(8, model, as_objective(None), two_mixtures_in_a_room(0.5, 3), learning_rate=3e-3, most=300)
