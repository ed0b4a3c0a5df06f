"""FaSNet and FaSNet-TAC: windows in their context, filters of every window, any number and order of microphones."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from two_talkers import steps_to, two_mixtures_in_a_room

from avsep.losses.objective import as_objective
from avsep.models.base import SeparationModel
from avsep.models.fasnet import FaSNet
from avsep.models.fasnet_tac import FaSNetTAC
from avsep.models.parts.context_windows import ContextWindows
from avsep.models.parts.filter_estimator import TransformAverageConcatenate
from avsep.models.parts.microphones import mean_over_microphones, microphone_weights, others_weights

TINY = {"filters": 8, "window": 16, "context": 24, "bottleneck": 8, "hidden": 6, "chunk": 8, "blocks": 2}
WINDOWS = ContextWindows(window=8, context=5)


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture(params=["two stages", "TAC"])
def model(request) -> SeparationModel:
    return FaSNetTAC(**TINY, tac_hidden=12).eval() if request.param == "TAC" else FaSNet(**TINY).eval()


@pytest.mark.parametrize("time", [1, 3, 4, 37])
def test_windows_lie_on_the_signal_and_add_up_to_it(time):
    x = torch.randn(2, 3, time)
    contexts = WINDOWS.cut(x)
    assert contexts.shape == (2, 3, -(-time // 4) + 1, 8 + 2 * 5)
    added = WINDOWS.overlap_add(WINDOWS.middle(contexts), time)
    assert torch.allclose(added, 2 * x)  # each sample is in two windows


def test_correlations_equal_a_loop_over_frames_and_lags():
    x = torch.randn(2, 3, 41)
    contexts = WINDOWS.cut(x)
    reference = WINDOWS.middle(contexts[:, :1])
    found = WINDOWS.correlate(reference, WINDOWS.spectra(contexts), WINDOWS.energies(x))
    assert found.shape == (2, 3, 12, 11)
    for lag in range(WINDOWS.taps):
        part = contexts[..., lag : lag + 8]
        assert torch.allclose(found[..., lag], functional.cosine_similarity(reference, part, dim=3), atol=1e-4)


def test_correlations_find_the_delay_whatever_the_levels():
    x = torch.randn(1, 1, 400)
    later = torch.cat([x, 1e-3 * x.roll(3, 2)], dim=1)
    contexts = WINDOWS.cut(later)
    found = WINDOWS.correlate(WINDOWS.middle(contexts[:, :1]), WINDOWS.spectra(contexts), WINDOWS.energies(later))
    inner = found[0, :, 5:-5]
    assert (inner[0].argmax(1) == WINDOWS.context).all()
    assert (inner[1].argmax(1) == WINDOWS.context + 3).all()
    assert torch.allclose(inner.amax(2), torch.ones(2, inner.shape[1]), atol=1e-4)


def test_filters_are_convolutions_summed_over_the_microphones():
    x, filters = torch.randn(2, 3, 21), torch.randn(2, 3, 2, 7, WINDOWS.taps)
    weights = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    contexts = WINDOWS.cut(x)
    found = WINDOWS.filtered(filters, WINDOWS.spectra(contexts), weights)
    expected = torch.einsum("bmfnk,bmsfk,bm->bsfn", contexts.unfold(3, WINDOWS.taps, 1), filters, weights)
    assert found.shape == (2, 2, 7, 8)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((7, 4), "window 7 and context 4; the window must be even"),
        ((4, 63), "at most 32 times as long"),
        ((0, 4), "window is 0; it must be"),
        ((8, 0), "context is 0; it must be"),
    ],
)
def test_windows_that_cannot_be(sizes, message):
    with pytest.raises(ValueError, match=message):
        ContextWindows(*sizes)


def test_silent_microphones_do_not_count():
    mixture = torch.randn(2, 4, 9)
    mixture[0, 2] = mixture[1, 1:] = 0
    weights = microphone_weights(mixture)
    assert torch.allclose(weights, torch.tensor([[1 / 3, 1 / 3, 0, 1 / 3], [1, 0, 0, 0]]))
    assert torch.allclose(mean_over_microphones(mixture, weights)[1], mixture[1, 0])
    assert torch.allclose(others_weights(mixture), torch.tensor([[0.5, 0, 0.5], [0, 0, 0]]))
    # The reference counts in silence too.
    assert torch.equal(microphone_weights(torch.zeros(1, 3, 9)), torch.tensor([[1.0, 0, 0]]))


def test_tac_is_what_the_paper_writes():
    layer = TransformAverageConcatenate(4, 6)
    x, weights = torch.randn(2, 3, 5, 4), torch.full((2, 3), 1 / 3)
    own = layer.transform(x)
    mean = layer.average(own.mean(1, keepdim=True)).expand_as(own)
    told = layer.slope(layer.concatenate(torch.cat([own, mean], dim=3)))
    expected = x + torch.stack([layer.norm(told[:, n]) for n in range(3)], dim=1)
    assert torch.allclose(layer(x, weights), expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "millions"), [(FaSNet, 5.42), (FaSNetTAC, 2.76)])
def test_sizes_are_those_of_the_paper(kind, millions):
    assert round(kind().parameter_count / 1e6, 2) == millions


@pytest.mark.parametrize("microphones", [2, 3, 8])
@pytest.mark.parametrize("time", [1, 7, 8, 403])
def test_length_in_is_length_out_for_any_number_of_microphones(model, microphones, time):
    output = model(torch.randn(2, microphones, time))
    assert output.estimates.shape == (2, 2, 1, time)
    assert output.estimates.isfinite().all()


def test_two_stages_filter_the_reference_then_the_others():
    """With filters of ones and tanh and gates of known values the estimate is a known mean of running sums."""
    model, x = FaSNet(**TINY).eval(), torch.randn(1, 3, 200)
    with torch.no_grad():
        for stage, gain in ((model.first, 0.5), (model.second, 0.25)):
            for part, value in ((stage.taps[0], torch.atanh(torch.tensor(gain))), (stage.gate[0], torch.tensor(40.0))):
                part.weight.zero_()
                part.bias.fill_(value)
    sums = functional.conv1d(x, torch.ones(3, 1, 49), padding=24, groups=3)
    expected = 2 * (0.5 * sums[:, 0] + 0.25 * (sums[:, 1] + sums[:, 2])) / 3
    found = model(x).estimates
    assert torch.allclose(found[:, 0, 0], expected, atol=1e-4)
    assert torch.allclose(found[:, 1, 0], expected, atol=1e-4)


@pytest.mark.slow
def test_it_learns_a_batch(model):
    sizes = {"window": 256, "context": 128, "filters": 32, "bottleneck": 32, "hidden": 32, "chunk": 16}
    model = type(model)(**sizes, blocks=1)
    steps_to(8, model, as_objective(None), two_mixtures_in_a_room(0.25, 3), learning_rate=3e-3, most=300)


def test_the_order_of_the_microphones_does_not_matter_but_for_the_first(model):
    mixture = torch.randn(1, 5, 600)
    expected = model(mixture).estimates
    assert torch.allclose(model(mixture[:, [0, 3, 1, 4, 2]]).estimates, expected, atol=1e-4)
    assert not torch.allclose(model(mixture[:, [1, 0, 2, 3, 4]]).estimates, expected, atol=1e-3)


def test_microphones_filled_up_with_zeros_change_nothing(model):
    mixture = torch.randn(1, 3, 600)
    filled = functional.pad(mixture, (0, 0, 0, 2))
    assert torch.allclose(model(filled).estimates, model(mixture).estimates, atol=1e-5)


def test_louder_in_is_louder_out(model):
    mixture = torch.randn(1, 3, 600)
    assert torch.allclose(model(100 * mixture).estimates, 100 * model(mixture).estimates, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "mixture", [torch.zeros(1, 3, 300), torch.randn(1, 1, 300) * torch.tensor([[[1.0], [0], [0]]])]
)
def test_silence_gives_numbers_and_gradients(model, mixture):
    estimates = model(mixture).estimates
    estimates.square().sum().backward()
    assert estimates.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_gradients_reach_every_weight(model):
    model.train()
    model(torch.randn(2, 3, 400)).estimates.square().sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("shape", [(1, 1, 100), (1, 9, 100), (2, 100)])
def test_wrong_numbers_of_microphones_are_named(model, shape):
    with pytest.raises(ValueError, match=r"mixture .* expected \(batch, channels, time\) with 2 to 8 channels"):
        model(torch.randn(shape))
