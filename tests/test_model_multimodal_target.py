"""A target by lips, direction and voice: the angle feature, what each cue does, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import lips_of, steps_to, two_mixtures_in_a_room

from avsep.dsp.spatial import angle_feature, bin_frequencies, gcc_phat, steering_vectors
from avsep.dsp.stft import stft
from avsep.losses import FixedOrder, NegativeSiSnr, OnEstimates
from avsep.models.base import Contract
from avsep.models.multimodal_target import MultimodalTarget
from avsep.models.parts.fusion import FactorizedAttention

LIP = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1, "size": 24}
VOICE = {"channels": 4, "width": 4, "temporal_blocks": 1}
TINY = {"window": 64, "stride": 32, "bottleneck": 6, "hidden": 8, "blocks": 2, "repeats": 2, "pair_hidden": 4}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def tiny(**changes) -> MultimodalTarget:
    return MultimodalTarget(**TINY | {"lip": LIP} | changes).eval()


def cues(targets: int, channels: int = 3) -> dict[str, torch.Tensor]:
    delays = torch.cat([torch.zeros(2, targets, 1), 2e-4 * torch.randn(2, targets, channels - 1)], 2)
    return {"lips": torch.rand(2, targets, 4, 96, 96), "delays": delays}


def test_contract():
    expected = Contract(16_000, (2, 8), ("lips", "delays"), None, "cue", stride=32)
    assert tiny().contract == expected
    assert tiny(voice=VOICE, most_channels=4).contract.cues == ("lips", "delays", "enrolment")


@pytest.mark.parametrize("fusion", ["attention", "concat"])
@pytest.mark.parametrize(("targets", "channels", "time"), [(1, 2, 1), (3, 4, 999)])
def test_one_estimate_for_each_target_and_the_length_stays(fusion, targets, channels, time):
    output = tiny(fusion=fusion)(torch.randn(2, channels, time), **cues(targets, channels))
    assert output.estimates.shape == (2, targets, 1, time)
    assert output.masks.min() >= 0
    assert output.masks.max() <= 1


def test_bins_from_the_targets_direction_have_an_angle_feature_of_1():
    """Of a wave that is late by the delays, all phase differences are those that they give."""
    frequencies = bin_frequencies(64, 16_000)
    delays = torch.tensor([[[1e-4, 3e-4, -1e-4], [1e-4, -2e-4, 2e-4]]])
    source = torch.randn(1, 1, 33, 10, dtype=torch.complex64)
    wave = steering_vectors(delays[:, 0], frequencies).mT.unsqueeze(3) * source
    found = angle_feature(wave, delays, frequencies, torch.full((1, 2), 0.5))
    torch.testing.assert_close(found[:, 0], torch.ones(1, 33, 10), atol=1e-3, rtol=0)
    assert found[:, 1, 1:].mean() < 0.5
    # A delay of all microphones is none.
    later = angle_feature(wave, delays + 0.001, frequencies, torch.full((1, 2), 0.5))
    torch.testing.assert_close(later, found, atol=1e-4, rtol=0)


def test_the_angle_feature_tells_two_talkers_in_a_room_apart():
    sources = two_mixtures_in_a_room(0.5, 3)
    spectra = stft(sources)
    delays = gcc_phat(spectra, 16_000)
    size = spectra[:, :, 0].abs()
    mixture = spectra.sum(1)
    found = angle_feature(mixture, delays, bin_frequencies(512, 16_000), torch.full((2, 2), 0.5))
    own = (found * size).sum((2, 3)) / size.sum((2, 3))
    other = (found.flip(1) * size).sum((2, 3)) / size.sum((2, 3))
    assert (own > other + 0.1).all()


def test_every_cue_counts_and_goes_with_its_target():
    model, mixture, given = tiny(voice=VOICE), torch.randn(2, 3, 2000), cues(3)
    given["enrolment"] = torch.randn(2, 3, 3200)
    found = model(mixture, **given).estimates
    turned = model(mixture, **{name: cue[:, [2, 0, 1]] for name, cue in given.items()}).estimates
    torch.testing.assert_close(turned, found[:, [2, 0, 1]], atol=1e-5, rtol=1e-4)
    for name, cue in given.items():
        other = model(mixture, **given | {name: cue.flip(1)}).estimates
        assert (other[:, 0] - found[:, 0]).abs().max() > 1e-6, name
        assert torch.allclose(other[:, 1], found[:, 1], atol=1e-5), name


def test_directions_of_talkers_without_lips_are_passed_over():
    model, given = tiny().eval(), cues(2)
    mixture = torch.randn(2, 3, 4000)
    of_one = model(mixture, lips=given["lips"][:, :1], delays=given["delays"]).estimates
    torch.testing.assert_close(of_one, model(mixture, **given).estimates[:, :1], atol=1e-5, rtol=1e-4)


def test_silent_microphones_and_the_level_change_nothing():
    model, mixture, given = tiny(), torch.randn(2, 3, 2000), cues(2)
    found = model(mixture, **given).estimates
    louder = model(100 * mixture, **given).estimates
    torch.testing.assert_close(louder, 100 * found, atol=1e-2, rtol=1e-3)
    more = {"lips": given["lips"], "delays": torch.nn.functional.pad(given["delays"], (0, 2))}
    dead = model(torch.nn.functional.pad(mixture, (0, 0, 0, 2)), **more).estimates
    torch.testing.assert_close(dead, found, atol=1e-5, rtol=1e-4)


def test_attention_mixes_subspaces():
    fusion = FactorizedAttention(3, 2, 4)
    audio, video = torch.randn(1, 8, 3), torch.zeros(1, 2, 2)
    torch.nn.init.zeros_(fusion.attend.bias)
    even = fusion.factors(audio).unflatten(2, (4, 3)).mean(2)
    torch.testing.assert_close(fusion(audio, video), even)
    with torch.no_grad():
        fusion.attend.bias[2] = 100.0
    torch.testing.assert_close(fusion(audio, video), fusion.factors(audio)[..., 6:9])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "sum"}, "fusion is 'sum'; it must be one of attention, concat"),
        ({"voice": VOICE, "sample_rate": 8000}, "sample_rate is 8000; with voice it must be 16000"),
        ({"most_channels": 1}, "most_channels is 1; it must be a whole number from 2 to 128"),
        ({"subspaces": 0}, "subspaces is 0"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["attention", "concat"])
def test_it_learns_a_batch(fusion):
    lip = {"channels": 16, "widths": [8, 8, 8, 8], "temporal_channels": 16, "temporal_blocks": 1, "size": 24}
    sizes = {"bottleneck": 64, "hidden": 128, "blocks": 4, "repeats": 2, "pair_hidden": 16, "subspaces": 4}
    model = MultimodalTarget(512, 128, **sizes, fusion=fusion, lip=lip)
    sources = two_mixtures_in_a_room(0.5, 3)
    given = {"lips": lips_of(sources[:, :, 0], 16_000), "delays": gcc_phat(stft(sources), 16_000)}
    steps_to(12, model, OnEstimates(FixedOrder(NegativeSiSnr())), sources, 3e-3, cues=given)
