"""WaveNet without causality: sizes, what a sample depends on, what sums to the mixture, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses.objective import as_objective
from avsep.models.wavenet import GatedBlock, WaveNet

TINY = {"filters": 6, "skip": 4, "layers": 3, "stacks": 2, "last": [8, 5]}
STEMS = ["drums", "bass", "vocals", "other"]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def size(filters: int, stacks: int, outputs: int) -> int:
    """Weights of the papers' networks: ten layers a stack, three taps, no biases but the last ones."""
    blocks = 10 * stacks * (3 * filters * 2 * filters + filters * 2 * filters)
    return 3 * filters + blocks + 3 * (filters * 2048 + 2048 * 256) + 256 * outputs + outputs


def test_sizes_are_those_of_the_papers():
    """3.3 million weights for the stems of Lluís et al., 6.3 million for the denoiser of Rethage et al."""
    assert WaveNet(**WaveNet.paper_args).parameter_count == size(64, 4, 3) == 3_277_763
    assert WaveNet(filters=128, skip=128, stacks=3).parameter_count == size(128, 3, 1) == 6_292_097


def test_a_block_is_gated_and_residual():
    block = GatedBlock(2, 3, 3, 4)
    x = torch.randn(1, 2, 20)
    shifted = torch.stack([torch.nn.functional.pad(x, (4, 4))[..., n : n + 20] for n in (0, 4, 8)], dim=3)
    value, gate = torch.einsum("oik,bitk->bot", block.dilated.weight, shifted).chunk(2, dim=1)
    made = torch.einsum("oi,bit->bot", block.mix.weight[..., 0], value.tanh() * gate.sigmoid())
    residual, skip = block(x)
    torch.testing.assert_close(residual, x + made[:, :2])
    torch.testing.assert_close(skip, made[:, 2:])


def test_a_sample_depends_on_what_it_reaches_on_both_sides():
    model = WaveNet(**TINY | {"skip": 32, "last": [64, 64]}).double().eval()
    assert model.reach == 1 + 2 * (1 + 2 + 4) + 2
    # What comes from the farthest samples is below the rounding of single precision.
    mixture = torch.randn(1, 1, 81).double()
    whole = model(mixture).estimates[..., 40]
    for side in (-1, 1):
        # The other sign leaves the level as it was.
        changed = mixture.clone()
        changed[..., 40 + side * (model.reach + 1)] *= -1
        assert torch.equal(model(changed).estimates[..., 40], whole)
        changed[..., 40 + side * model.reach] *= -1
        assert (model(changed).estimates[..., 40] - whole).abs().max() > 0


@pytest.mark.parametrize("time", [1, 2, 117])
@pytest.mark.parametrize("channels", [1, 2])
def test_length_in_is_length_out_and_estimates_sum_to_the_mixture(channels, time):
    mixture = torch.randn(2, channels, time)
    estimates = WaveNet(**TINY, stems=STEMS, channels=channels).eval()(mixture).estimates
    assert estimates.shape == (2, 4, channels, time)
    torch.testing.assert_close(estimates.sum(1), mixture)


def test_sources_without_a_difference_are_outputs_of_their_own():
    model = WaveNet(**TINY, sources=1, difference=False).eval()
    assert model.contract.sources == 1
    assert model(torch.randn(1, 1, 30)).estimates.shape == (1, 1, 1, 30)
    assert model.leave[-1].out_channels == 1


def test_louder_in_is_louder_out():
    model = WaveNet(**TINY).eval()
    mixture = torch.randn(1, 1, 100)
    torch.testing.assert_close(model(100 * mixture).estimates, 100 * model(mixture).estimates, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="kernel is 4; it must be odd"):
        WaveNet(**TINY, kernel=4)
    with pytest.raises(ValueError, match="layers is 17; it must be a whole number from 1 to 16"):
        WaveNet(**TINY | {"layers": 17})
    with pytest.raises(ValueError, match="last_layers is 0; it must be a whole number from 1 to 100"):
        WaveNet(**TINY | {"last": []})
    with pytest.raises(ValueError, match="difference is true with 1 source"):
        WaveNet(**TINY, stems=["vocals"])


@pytest.mark.slow
def test_it_learns_a_batch():
    model = WaveNet(filters=24, skip=24, layers=9, stacks=1, last=[48, 24], sample_rate=8000)
    steps_to(20, model, as_objective(None), two_mixtures(seconds=0.3), learning_rate=5e-3)
