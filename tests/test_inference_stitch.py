"""Segments: everything covered, nothing heard at a seam, every source in its place."""

import itertools

import numpy as np
import pytest

from avsep.inference.stitch import HOP, segments, source_order, stitch


@pytest.mark.parametrize("total", [0, 1, 159_999, 160_000, 200_000, 288_000, 1_000_001])
def test_segments_cover_everything_with_overlap(total):
    spans = segments(total)
    assert spans[0][0] == 0
    assert spans[-1][1] == total
    for (_, stop), (start, _) in itertools.pairwise(spans):
        assert stop - start == 32_000
        assert start % HOP == 0


def test_an_overlap_off_the_grid_is_refused():
    with pytest.raises(ValueError, match="multiple of 640"):
        segments(100_000, 16_000, 1_000)


def voices(time: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, time)).astype(np.float32)


@pytest.mark.parametrize("swapped", [(), (1,), (1, 2), (0, 2, 3)])
def test_swapped_segments_come_out_in_order_and_without_a_seam(swapped):
    x = voices(700_000)
    pieces = [
        (start, x[:, start:stop][::-1] if number in swapped else x[:, start:stop])
        for number, (start, stop) in enumerate(segments(700_000))
    ]
    out = np.concatenate(list(stitch(pieces, reorder=True)), axis=1)
    expected = x[::-1] if 0 in swapped else x
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_conditioned_estimates_are_never_reordered():
    x = voices(400_000)
    pieces = [(start, x[:, start:stop]) for start, stop in segments(400_000)]
    np.testing.assert_allclose(np.concatenate(list(stitch(pieces, reorder=False)), axis=1), x, atol=1e-5)


def test_source_order_pairs_by_correlation():
    x = voices(1000)
    assert source_order(x, 0.1 * x[::-1]).tolist() == [1, 0]
