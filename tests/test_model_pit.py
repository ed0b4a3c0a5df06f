"""PIT-BLSTM and uPIT-BLSTM: meta-frames and how they are traced, the size of the paper, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.dsp.stft import stft
from avsep.losses import MaskMse, OnMasks, SpectrumApproximation
from avsep.models.parts.meta_frames import meta_frames, overlap_mean, traced
from avsep.models.pit_blstm import PitBLSTM
from avsep.models.upit_blstm import UPitBLSTM

TINY = {"layers": 1, "hidden": 8, "dropout": 0.0, "window": 64, "hop": 16, "sample_rate": 8000}
BOTH = [UPitBLSTM, PitBLSTM]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def shuffled(masks: torch.Tensor) -> torch.Tensor:
    """(batch, sources, rows, frames) with the sources of every frame but the first in an order of their own."""
    order = torch.rand(masks.shape[0], masks.shape[1], masks.shape[3]).argsort(1)
    order[:, :, 0] = torch.arange(masks.shape[1])
    return masks.gather(1, order.unsqueeze(2).expand_as(masks))


@pytest.mark.parametrize("span", [1, 3, 7])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_meta_frames_hold_the_frames_around_each(frames, span):
    spectrum = torch.randn(2, 5, frames, dtype=torch.complex64)
    rows = meta_frames(spectrum, span).unflatten(1, (5, span))
    assert rows.shape == (2, 5, span, frames)
    for frame in range(frames):
        for n in range(span):
            there = frame + n - span // 2
            expected = spectrum[:, :, there] if 0 <= there < frames else torch.zeros(2, 5)
            assert torch.equal(rows[:, :, n, frame], expected.to(rows.dtype))


@pytest.mark.parametrize("span", [1, 3, 7])
@pytest.mark.parametrize("frames", [1, 2, 9])
def test_the_mean_of_meta_frames_is_what_they_were_made_of(frames, span):
    masks = torch.rand(2, 3, 5, frames)
    torch.testing.assert_close(overlap_mean(meta_frames(masks, span), span), masks)
    # What one meta-frame says of a frame counts as one of those that the frame is in.
    rows = torch.zeros(1, 1, 5 * span, frames)
    rows[..., 0] = 1
    share = 1 / min(frames, span // 2 + 1)
    torch.testing.assert_close(overlap_mean(rows, span)[0, 0, :, 0], torch.full((5,), share))


@pytest.mark.parametrize("sources", [1, 2, 3, 4])
@pytest.mark.parametrize("span", [3, 7])
def test_sources_are_followed_from_one_meta_frame_to_the_next(sources, span):
    masks = torch.rand(2, sources, 6, 37)
    spectrum = torch.randn(2, 6, 37, dtype=torch.complex64)
    rows, mixed = meta_frames(masks, span), meta_frames(spectrum, span)
    assert torch.equal(traced(shuffled(rows), mixed, span), rows)
    assert torch.equal(traced(rows, mixed, span), rows)


def test_neighbouring_frames_are_compared_where_none_are_shared():
    """With masks that change slowly; and silence leaves the order as it is."""
    masks = torch.rand(1, 2, 20, 1) + 0.05 * torch.randn(1, 2, 20, 50)
    spectrum = torch.ones(1, 20, 50, dtype=torch.complex64)
    assert torch.equal(traced(shuffled(masks), spectrum, 1), masks)
    some = shuffled(masks)
    assert torch.equal(traced(some, 0 * spectrum, 1), some)


@pytest.mark.parametrize("frames", [1, 2, 3, 64, 65])
def test_the_order_of_a_frame_is_that_of_all_steps_before_it(frames):
    """By a loop over frames."""
    masks, size = torch.rand(1, 3, 4 * 3, frames), torch.ones(1, 4 * 3, frames)
    found = traced(masks, size.to(torch.complex64), 3)[0].unflatten(1, (4, 3))
    rows = masks[0].unflatten(1, (4, 3))
    kept = [rows[..., 0]]
    for frame in range(1, frames):
        orders = [
            list(order) for order in torch.cartesian_prod(*[torch.arange(3)] * 3) if len(set(order.tolist())) == 3
        ]
        cost = [(kept[-1][:, :, 1:] - rows[order, :, :2, frame]).square().sum() for order in orders]
        kept.append(rows[orders[int(torch.stack(cost).argmin())], :, :, frame])
    assert torch.equal(found, torch.stack(kept, 3))


def test_training_sees_meta_frames_and_use_frames():
    model = PitBLSTM(**TINY, span=5).eval()
    mixture = torch.randn(2, 1, 1000)
    output = model(mixture)
    assert output.estimates is None
    assert output.masks.shape == (2, 2, 33 * 5, 64)
    assert torch.equal(output.transform(mixture[:, 0]), output.spectrum)
    used = model.separate(mixture)
    assert used.masks.shape == (2, 2, 33, 64)
    assert torch.equal(used.spectrum, stft(mixture[:, 0], 64, 16))
    model.trace = False
    torch.testing.assert_close(model.separate(mixture).masks, overlap_mean(output.masks, 5))


def test_each_meta_frame_is_trained_in_its_own_order():
    """Not where an order for the whole item is asked."""
    sources = torch.randn(1, 2, 1, 1000)
    batch = {"sources": sources, "mixture": sources.sum(1)}
    output = PitBLSTM(**TINY, span=3).eval()(batch["mixture"])
    objective, whole = OnMasks(MaskMse(each_frame=True)), OnMasks(MaskMse())
    expected = objective(output, batch)
    output.masks = shuffled(output.masks)
    torch.testing.assert_close(objective(output, batch), expected)
    assert whole(output, batch) > expected


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("time", [1, 15, 16, 1003])
def test_length_in_is_length_out(kind, time):
    assert kind(**TINY, sources=3).eval().separate(torch.randn(2, 1, time)).estimates.shape == (2, 3, 1, time)


@pytest.mark.parametrize("kind", BOTH)
def test_softmax_masks_sum_to_one_and_the_estimates_to_the_mixture(kind):
    mixture = torch.randn(2, 1, 1003)
    output = kind(**TINY, activation="softmax").eval().separate(mixture)
    torch.testing.assert_close(output.masks.sum(1), torch.ones(2, 33, 64))
    torch.testing.assert_close(output.estimates.sum(1), mixture, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("activation", "most"), [("sigmoid", 1.0), ("relu", float("inf"))])
def test_masks_stay_in_their_range(activation, most):
    model = UPitBLSTM(**TINY, activation=activation).eval()
    with torch.no_grad():
        model.separator.to_masks.weight *= 30
        masks = model(torch.randn(1, 1, 500)).masks
    assert masks.min() >= 0
    assert 0.99 < masks.max() <= most


@pytest.mark.parametrize("kind", BOTH)
def test_the_level_changes_the_level_alone(kind):
    model, mixture = kind(**TINY).eval(), torch.randn(1, 1, 1000)
    torch.testing.assert_close(
        model.separate(0.01 * mixture).estimates, 0.01 * model.separate(mixture).estimates, atol=1e-4, rtol=0
    )


def test_size_of_the_paper():
    """Half of the 92.7 million of the two stages that the paper's figure is of."""
    with torch.device("meta"):
        assert UPitBLSTM(**UPitBLSTM.paper_args).parameter_count == pytest.approx(92.7e6 / 2, rel=0.01)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="span is 4; it must be odd, as many frames before one as behind it"):
        PitBLSTM(**TINY, span=4)
    with pytest.raises(ValueError, match="span is 103; it must be a whole number from 1 to 101"):
        PitBLSTM(**TINY, span=103)
    with pytest.raises(ValueError, match="sources is 7; it must be a whole number from 1 to 6"):
        PitBLSTM(**TINY, sources=7)
    with pytest.raises(ValueError, match="activation is 'tanh'; it must be one of softmax, sigmoid, relu"):
        UPitBLSTM(**TINY, activation="tanh")
    with pytest.raises(ValueError, match="layers is 0; it must be a whole number from 1 to"):
        UPitBLSTM(**TINY | {"layers": 0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        (UPitBLSTM, SpectrumApproximation()),
        (UPitBLSTM, MaskMse("PSM")),
        (PitBLSTM, SpectrumApproximation(each_frame=True)),
    ],
    ids=["spectra", "masks", "frames"],
)
def test_it_learns_a_batch(kind, loss):
    model = kind(layers=1, hidden=128, dropout=0.0, window=512, hop=128, sample_rate=8000)
    steps_to(12, model, OnMasks(loss), two_mixtures(seconds=1.0), 3e-3)
