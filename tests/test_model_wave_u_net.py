"""Wave-U-Net of one channel and of stems: sizes, what sums to the mixture, names, and learning."""

from __future__ import annotations

import itertools

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses.objective import as_objective
from avsep.models.wave_u_net import WaveUNet

TINY = {"filters": 4, "layers": 4}
STEMS = ["bass", "drums", "vocals"]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def size(channels: int, outputs: int, filters: int = 24, levels: int = 12) -> int:
    """Weights of the paper's network: convolutions of 15 samples down and of 5 up, each with a bias."""
    widths = [channels, *(filters * level for level in range(1, levels + 2))]
    down = sum(15 * before * after + after for before, after in itertools.pairwise(widths))
    up = sum(5 * (deep + flat) * flat + flat for flat, deep in itertools.pairwise(widths[1:]))
    return down + up + (filters + channels) * outputs + outputs


def test_sizes_are_those_of_the_paper():
    assert WaveUNet().parameter_count == size(1, 1) == 10_263_002
    assert WaveUNet(**WaveUNet.paper_args).parameter_count == size(2, 3 * 2) == 10_263_498


@pytest.mark.parametrize("time", [1, 17, 403])
def test_length_in_is_length_out_and_estimates_sum_to_the_mixture(time):
    mixture = torch.randn(2, 2, time)
    estimates = WaveUNet(**TINY, stems=STEMS, channels=2).eval()(mixture).estimates
    assert estimates.shape == (2, 3, 2, time)
    torch.testing.assert_close(estimates.sum(1), mixture)
    free = WaveUNet(**TINY, stems=STEMS, channels=2, difference=False).eval()(mixture).estimates
    assert free.shape == estimates.shape
    assert not torch.allclose(free.sum(1), mixture, atol=0.1)


def test_the_last_estimate_is_what_the_first_leaves():
    model = WaveUNet(**TINY).eval()
    mixture = torch.randn(1, 1, 100)
    first, last = model(mixture).estimates[0]
    torch.testing.assert_close(first, model.layers(mixture)[0])
    torch.testing.assert_close(last, mixture[0] - first)


def test_voices_come_in_any_order_and_stems_by_name():
    voices = WaveUNet(**TINY, sources=3).contract
    assert (voices.order, voices.sources, voices.kind, voices.channels) == ("any", 3, "voice", (1, 1))
    stems = WaveUNet(**TINY, stems=STEMS, channels=2).contract
    assert (stems.order, stems.names, stems.kind, stems.channels) == ("named", tuple(STEMS), "stem", (2, 2))
    assert stems.stride == 16


def test_louder_in_is_louder_out():
    model = WaveUNet(**TINY).eval()
    mixture = torch.randn(1, 1, 300)
    torch.testing.assert_close(model(100 * mixture).estimates, 100 * model(mixture).estimates, rtol=1e-3, atol=1e-3)


def test_gradients_reach_every_weight():
    model = WaveUNet(**TINY, stems=STEMS, channels=2)
    model(torch.randn(2, 2, 400)).estimates[:, :2].square().sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="layers is 0; it must be a whole number from 1 to 16"):
        WaveUNet(layers=0)
    with pytest.raises(ValueError, match="difference is true with 1 source, which would be the mixture"):
        WaveUNet(**TINY, sources=1)
    for stems in ([], ["bass", "bass"], [""]):
        with pytest.raises(ValueError, match=r"stems is \[.*\]; give one or more different names"):
            WaveUNet(**TINY, stems=stems)
    with pytest.raises(ValueError, match=r"mixture \(1, 1, 50\); expected \(batch, channels, time\) with 2 channels"):
        WaveUNet(**TINY, channels=2)(torch.zeros(1, 1, 50))


@pytest.mark.slow
def test_it_learns_a_batch():
    model = WaveUNet(filters=12, layers=6, sample_rate=8000)
    steps_to(20, model, as_objective(None), two_mixtures(seconds=0.25), learning_rate=3e-3)
