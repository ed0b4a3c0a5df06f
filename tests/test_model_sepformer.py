"""SepFormer: its size, positions, chunks and masks."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.dprnn import chunked
from avsep.models.separators.sepformer import DualPathTransformer, Transformer, positions
from avsep.models.sepformer import SepFormer

TINY = {"filters": 8, "kernel": 8, "stride": 4, "chunk": 10, "blocks": 2, "layers": 2, "heads": 2, "hidden": 6}
FRAMES = [1, 4, 5, 6, 15, 37]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_the_size_is_that_of_the_paper():
    with torch.device("meta"):
        model = SepFormer(**SepFormer.paper_args)
    assert model.parameter_count == pytest.approx(25.7e6, rel=0.005)


def test_positions_are_sines_and_cosines_of_the_step():
    found = positions(5, 6, torch.zeros(()))
    for step in range(5):
        for pair in range(3):
            phase = torch.tensor(step / 10_000 ** (2 * pair / 6))
            assert torch.allclose(found[step, 2 * pair : 2 * pair + 2], torch.stack([phase.sin(), phase.cos()]))


def test_a_transformer_tells_the_order_of_its_steps():
    """Self-attention alone would give the same for every order."""
    net = Transformer(8, 1, 2, 6, 0.0).eval()
    x = torch.randn(1, 5, 8)
    assert not torch.allclose(net(x.flip(1)).flip(1), net(x), atol=1e-3)


@pytest.mark.parametrize("frames", FRAMES)
def test_chunks_are_as_in_the_published_networks(frames):
    """An even number of them, the last half of which may be silent."""
    net = DualPathTransformer(8, 8, 10, 1, 1, 2, 6, 2).eval()
    shapes = []
    net.blocks[0].register_forward_hook(lambda module, args, out: shapes.append(args[0].shape[1:3]))
    assert net(torch.rand(2, frames, 8)).shape == (2, 2, frames, 8)
    ((chunks, size),) = shapes
    assert (chunks % 2, size) == (0, 10)
    assert chunks >= chunked(torch.rand(1, frames, 8), 10).shape[1]


def test_masks_are_of_either_size_but_never_negative():
    masks = DualPathTransformer(8, 8, 10, 1, 1, 2, 6, 2)(torch.rand(1, 40, 8))
    assert (masks >= 0).all()
    assert (masks > 0).any()


@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out(time):
    model = SepFormer(**TINY).eval()
    assert model(torch.randn(2, 1, time)).estimates.shape == (2, 2, 1, time)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk": 9}, "chunk is 9; it must be even"),
        ({"heads": 3}, "width is 8 with 3 heads; it must be even and a multiple of them"),
        ({"width": 7, "heads": 1}, "width is 7 with 1 heads"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
        ({"layers": 0}, "layers is 0; it must be a whole number from 1 to 64"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        SepFormer(**TINY | changes)


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"filters": 64, "kernel": 32, "stride": 16, "chunk": 20, "blocks": 1, "layers": 2, "heads": 4}
    model = SepFormer(**sizes, hidden=128, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.25), learning_rate=2e-3)
