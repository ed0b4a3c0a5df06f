"""Changes of lips: each does what it says, within its ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avsep.data.cues import Lips
from avsep.data.lip_augment import (
    Blur,
    Brightness,
    Crop,
    Flip,
    Grain,
    LipAugment,
    Occlusion,
    SpanDropout,
    SyncJitter,
    Warp,
    apply,
)
from avsep.errors import UsageError


@pytest.fixture
def lips() -> np.ndarray:
    """(20, 96, 96): a bright mouth on a ramp, brighter to the right, and a number in each picture's first row."""
    out = np.tile(np.linspace(60, 120, 96).astype(np.uint8), (20, 96, 1))
    out[:, 50:60, 30:66] = 200
    out[:, 0] = np.arange(20, dtype=np.uint8)[:, None] * 5 + 10
    return out


ALL: list[LipAugment] = [
    SyncJitter(),
    Flip(1.0),
    Crop(),
    Warp(),
    Brightness(),
    Blur(1.0),
    Grain(1.0, (0.05, 0.05)),
    Occlusion(1.0),
    SpanDropout(1.0),
]


@pytest.mark.parametrize("change", ALL, ids=lambda c: type(c).__name__)
def test_lips_keep_their_shape_and_change(lips: np.ndarray, change: LipAugment) -> None:
    drawn = [apply([change], lips.copy(), np.random.default_rng(seed)) for seed in range(4)]
    assert all(d.shape == lips.shape and d.dtype == np.uint8 for d in drawn)
    assert any(not np.array_equal(d, lips) for d in drawn)
    again = apply([change], lips.copy(), np.random.default_rng(0))
    assert np.array_equal(again, drawn[0])


def test_flip_crop_and_jitter_move_pictures(lips: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    assert np.array_equal(apply([Flip(1.0)], lips, rng), lips[:, :, ::-1])
    moves = set()
    for seed in range(60):
        jittered = apply([SyncJitter(frames=2)], lips, np.random.default_rng(seed))
        moves.add((int(jittered[10, 0, 0]) - int(lips[10, 0, 0])) // 5)
    assert moves == {-2, -1, 0, 1, 2}
    tops = {int(np.argmax(apply([Crop(4)], lips, np.random.default_rng(s))[0, :, 48] == 200)) for s in range(80)}
    assert tops == set(range(46, 55))


def test_warp_without_range_is_the_identity_and_scale_shrinks_the_mouth(lips: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    still = Warp(degrees=0, scale=(1, 1), shift=0, drift=0)
    assert np.array_equal(still(lips, rng), lips)
    small = Warp(degrees=0, scale=(2, 2), shift=0, drift=0)(lips, rng)
    assert (small[0] > 150).sum() == pytest.approx((lips[0] > 150).sum() / 4, rel=0.25)
    narrow = Warp(degrees=0, scale=(1, 1), squeeze=(0.5, 0.5), shift=0, drift=0)(lips, rng)
    assert (narrow[0] > 150).any(axis=0).sum() == pytest.approx((lips[0] > 150).any(axis=0).sum() / 2, rel=0.25)
    assert (narrow[0] > 150).any(axis=1).sum() == pytest.approx((lips[0] > 150).any(axis=1).sum(), abs=1)


def test_brightness_follows_its_table_and_slope(lips: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    same = Brightness(gamma=(1, 1), contrast=(1, 1), light=(0, 0), slope=(0, 0))(lips, rng)
    assert np.abs(same.astype(int) - lips).max() <= 1
    lit = Brightness(gamma=(1, 1), contrast=(1, 1), light=(0.1, 0.1), slope=(0.1, 0.1))(lips, rng).astype(int)
    assert np.abs(lit[0, 30, [0, -1]] - lips[0, 30, [0, -1]] - [0, 51]).max() <= 2


def test_blur_takes_fine_detail_away() -> None:
    fine = np.zeros((2, 96, 96), np.uint8)
    fine[:, ::2] = 200
    assert np.ptp(Blur(1.0, (0.25, 0.25))(fine, np.random.default_rng(0))) < 20


def test_occlusion_and_dropout_last_as_long_as_they_say(lips: np.ndarray) -> None:
    for seed in range(5):
        hidden = Occlusion(1.0, seconds=(0.2, 0.2))(lips, np.random.default_rng(seed))
        assert (hidden != lips).any((1, 2)).sum() == 5
        lost = SpanDropout(1.0, (1, 1), (0.28, 0.28), frozen=0.0)(lips, np.random.default_rng(seed))
        assert (~lost.any((1, 2))).sum() == 7
        frozen = SpanDropout(1.0, (1, 1), (0.28, 0.28), frozen=1.0)(lips, np.random.default_rng(seed))
        assert frozen.any((1, 2)).all()
        assert len(np.unique(frozen[:, 0, 0])) in (13, 14)


def test_a_listener_stands_still_while_silent(lips: np.ndarray) -> None:
    active = np.zeros(20, bool)
    active[5:12] = True
    rested = Lips(1, still=1.0).rest(lips, active, np.random.default_rng(0))[:, 0, 0]
    assert np.array_equal(rested[5:12], lips[5:12, 0, 0])
    assert (rested[:5] == lips[0, 0, 0]).all()
    assert (rested[12:] == lips[11, 0, 0]).all()
    assert Lips(1, still=0.0).rest(lips, active, np.random.default_rng(0)) is lips


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lips(0), r"Lips: shown is 0; it must be 1 or more"),
        (lambda: Lips(silent=1.5), r"Lips: silent is 1.5; it must lie in 0 to 1"),
        (lambda: SpanDropout(frozen=2.0), r"SpanDropout: frozen is 2.0"),
        (lambda: Blur(factor=(0.5, 1.5)), r"Blur: factor is \(0.5, 1.5\); it must lie in 0.02 to 1"),
        (lambda: Crop(50), r"Crop: pixels is 50; it must lie in 0 to 40"),
    ],
)
def test_ranges_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
