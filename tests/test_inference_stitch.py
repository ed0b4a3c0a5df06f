"""Segments: everything covered, no trace of a seam, every source in its place and none lost."""

import itertools

import numpy as np
import pytest

from avsep.inference.stitch import segments, source_order, stitch

LENGTH, OVERLAP = 160_000, 32_000


@pytest.mark.parametrize("total", [0, 1, 159_999, 160_000, 200_000, 288_000, 1_000_001])
def test_segments_cover_everything_with_overlap(total):
    spans = segments(total, LENGTH, OVERLAP)
    assert spans[0][0] == 0
    assert spans[-1][1] == total
    for (_, stop), (start, _) in itertools.pairwise(spans):
        assert stop - start == OVERLAP


def test_an_overlap_as_long_as_a_segment_is_refused():
    with pytest.raises(ValueError, match="overlap 16000 must be 0 or more and below length 16000"):
        segments(100_000, 16_000, 16_000)


def voices(time: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 1, time)).astype(np.float32)


@pytest.mark.parametrize("swapped", [(), (1,), (1, 2), (0, 2, 3)])
def test_swapped_segments_come_out_in_order_and_without_a_seam(swapped):
    x = voices(700_000)
    pieces = [
        (start, x[..., start:stop][::-1] if number in swapped else x[..., start:stop])
        for number, (start, stop) in enumerate(segments(700_000, LENGTH, OVERLAP))
    ]
    out = np.concatenate(list(stitch(pieces, reorder=True)), axis=-1)
    expected = x[::-1] if 0 in swapped else x
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_conditioned_estimates_are_never_reordered():
    x = voices(400_000)
    pieces = [(start, x[..., start:stop]) for start, stop in segments(400_000, LENGTH, OVERLAP)]
    np.testing.assert_allclose(np.concatenate(list(stitch(pieces, reorder=False)), axis=-1), x, atol=1e-5)


def test_source_order_pairs_by_correlation():
    x = voices(1000)
    assert source_order(x, 0.1 * x[::-1]).tolist() == [1, 0]


def joined(pieces) -> np.ndarray:
    """All blocks behind each other, those of fewer sources made up with silence."""
    blocks = list(stitch(pieces, reorder=True))
    counts = [len(block) for block in blocks]
    assert counts == sorted(counts)
    most = counts[-1]
    return np.concatenate([np.pad(b, ((0, most - len(b)), (0, 0), (0, 0))) for b in blocks], axis=-1)


def test_a_source_that_a_piece_lacks_is_silent_in_it_and_keeps_its_place():
    x = voices(400_000)
    spans = segments(400_000, LENGTH, OVERLAP)
    # The middle piece gives the second source only.
    pieces = [(a, x[1:, :, a:b] if n == 1 else x[..., a:b]) for n, (a, b) in enumerate(spans)]
    out = joined(pieces)
    assert out.shape == x.shape
    np.testing.assert_allclose(out[1], x[1], atol=1e-5)
    np.testing.assert_allclose(out[0, :, : spans[1][0]], x[0, :, : spans[1][0]], atol=1e-5)
    np.testing.assert_allclose(out[0, :, spans[1][1] :], x[0, :, spans[1][1] :], atol=1e-5)
    assert not out[0, :, spans[0][1] : spans[2][0]].any()


def test_one_source_more_begins_as_a_new_one():
    x = voices(400_000)
    spans = segments(400_000, LENGTH, OVERLAP)
    pieces = [(a, x[:1, :, a:b] if n == 0 else x[::-1, :, a:b]) for n, (a, b) in enumerate(spans)]
    out = joined(pieces)
    np.testing.assert_allclose(out[0], x[0], atol=1e-5)
    np.testing.assert_allclose(out[1, :, spans[0][1] :], x[1, :, spans[0][1] :], atol=1e-5)
    assert not out[1, :, : spans[1][0]].any()


def tone(hz: float, *spans: tuple[int, int], time: int = 700_000) -> np.ndarray:
    x = np.sin(2 * np.pi * hz * np.arange(time) / 16_000).astype(np.float32)[None]
    at = np.arange(time)
    return x * sum((at >= a) & (at < b) for a, b in spans)


@pytest.mark.parametrize("turned", [(1,), (2, 3), (1, 3)])
@pytest.mark.parametrize("overlap", [OVERLAP, 0])
def test_sources_that_are_silent_at_a_seam_are_told_by_their_spectra(turned, overlap):
    """One that sounds all the time, and two that never sound where two segments meet."""
    spans = segments(700_000, LENGTH, overlap)
    middles = [((a + b) // 2 - 20_000, (a + b) // 2 + 20_000) for a, b in spans]
    x = np.stack([tone(300, (0, 700_000)), tone(1000, *middles), tone(3000, *middles[::2])])
    pieces = [(a, x[[2, 0, 1], ..., a:b] if n in turned else x[..., a:b]) for n, (a, b) in enumerate(spans)]
    out = np.concatenate(list(stitch(pieces, reorder=True)), axis=-1)
    np.testing.assert_allclose(out, x, atol=1e-5)
