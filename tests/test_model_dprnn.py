"""DPRNN and its variant with multiply-and-concatenate blocks: chunks, sizes of the papers, stages, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures

from avsep.losses import NegativeSiSnr, OnStages
from avsep.models.dprnn import DPRNN, DualPathBlock, MulCat, chunked, overlap_added
from avsep.models.mulcat import MulCatDPRNN

TINY = {"filters": 8, "bottleneck": 8, "hidden": 4, "chunk": 10, "blocks": 3, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [2, 4, 10, 100])
@pytest.mark.parametrize("frames", [1, 9, 10, 37])
def test_chunks_are_put_together_again(frames, size):
    x = torch.randn(2, frames, 3)
    chunks = chunked(x, size)
    assert chunks.shape[2:] == (size, 3)
    assert torch.allclose(overlap_added(chunks, frames), x)
    # Each chunk begins with the second half of the one before.
    assert torch.equal(chunks[:, :-1, size // 2 :], chunks[:, 1:, : size // 2])


def test_a_block_reaches_the_whole_signal():
    block = DualPathBlock(4, 3, "lstm").eval()
    x = torch.randn(1, 5, 6, 4, requires_grad=True)
    block(x)[0, 0, 0].sum().backward()
    assert (x.grad.abs().sum(3) > 0).all()


def test_networks_run_over_whole_sequences_at_once():
    """One call along the chunks and one across them, however long the signal is."""
    model = DPRNN(**TINY).eval()
    calls = []
    for block in model.separator.blocks:
        for path in (block.within, block.across):
            path.lstm.register_forward_hook(lambda module, args, out: calls.append(tuple(args[0].shape)))
    model(torch.randn(2, 1, 4000))  # 501 frames in 102 chunks
    assert calls == [(2 * 102, 10, 8), (2 * 10, 102, 8)] * 3


def test_mulcat_multiplies_and_concatenates():
    cell = MulCat(4, 3)
    x = torch.randn(2, 7, 4)
    expected = cell.project(torch.cat([cell.value(x) * cell.gate(x), x], dim=2))
    assert torch.allclose(cell(x), expected)
    with torch.no_grad():
        cell.project.weight[:, :4] = 0
    # Without the product what is left knows nothing of the other steps.
    assert torch.allclose(cell(x)[:, :1], cell(x[:, :1]))


@pytest.mark.parametrize(("kind", "millions"), [(DPRNN, 2.6), (MulCatDPRNN, 7.5)])
def test_sizes_are_those_of_the_papers(kind, millions):
    assert kind(**kind.paper_args).parameter_count == pytest.approx(millions * 1e6, rel=0.02)


@pytest.mark.parametrize("kind", [DPRNN, MulCatDPRNN])
@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out_at_every_stage(kind, time):
    output = kind(**TINY, every_block=True).eval()(torch.randn(2, 1, time))
    assert output.estimates.shape == (2, 2, 1, time)
    assert [stage.shape for stage in output.stages] == [(2, 2, 1, time)] * 2


def test_stages_are_what_fewer_blocks_give():
    model = DPRNN(**TINY, every_block=True).eval()
    mixture = torch.randn(1, 1, 800)
    output = model(mixture)
    for count in (1, 2):
        fewer = DPRNN(**TINY | {"blocks": count}).eval()
        fewer.load_state_dict({k: v for k, v in model.state_dict().items() if k in fewer.state_dict()})
        assert torch.allclose(fewer(mixture).estimates, output.stages[count - 1], atol=1e-6)
    model.every_block = False
    assert model(mixture).stages == ()
    assert torch.equal(model(mixture).estimates, output.estimates)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match=r"cell is 'gru'; it must be one of \['lstm', 'mulcat'\]"):
        DPRNN(**TINY, cell="gru")
    with pytest.raises(ValueError, match="chunk 9 and blocks 3; expected an even chunk"):
        DPRNN(**TINY | {"chunk": 9})
    with pytest.raises(ValueError, match="at least one block"):
        DPRNN(**TINY | {"blocks": 0})


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DPRNN, MulCatDPRNN])
def test_it_learns_a_batch(kind):
    sizes = {"filters": 64, "kernel": 16, "stride": 8, "bottleneck": 32, "hidden": 32, "chunk": 24, "blocks": 2}
    model = kind(**sizes, every_block=True, sample_rate=8000)
    steps_to(20, model, OnStages(NegativeSiSnr()), two_mixtures(seconds=0.25))
