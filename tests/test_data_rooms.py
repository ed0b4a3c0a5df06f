"""Rooms: reverberation, positions, and what of a response is the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from avsep.data.image_rooms import SPEED_OF_SOUND, ImageRooms, lengthen
from avsep.data.rooms import DecayRooms, RecordedRooms
from avsep.errors import InputError, UsageError

RATE = 16_000


def test_image_rooms_have_the_reverberation_they_are_asked_for() -> None:
    room = ImageRooms(p=1.0, rooms=3, t60=(0.5, 0.5), order=8, seed=2)
    room.prepare(2, RATE)
    for one in room.bank:
        assert one.taps.shape == (2, 1, 4801)
        for response in one.taps[:, 0]:
            # Direct sound at the start, and the strongest.
            assert np.abs(response).argmax() <= 9
            assert np.abs(response).max() == pytest.approx(1.0)
            left = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
            start, end = (int(t * RATE) for t in (0.06, 0.16))
            slope = np.polyfit(np.arange(start, end) / RATE, left[start:end], 1)[0]
            assert -60 / slope == pytest.approx(0.5, rel=0.5)


def test_positions_lie_in_the_room_and_the_direct_sound_agrees_with_them() -> None:
    size = (8.0, 7.0, 3.5)
    # So dry and near that nothing is louder than the direct sound.
    sides = {name: (side, side) for name, side in zip(("length", "width", "height"), size, strict=True)}
    rooms = ImageRooms(
        p=1.0, rooms=4, **sides, t60=(0.25, 0.25), distance=(0.3, 1.0), microphones=4, spacing=0.1, order=3
    )
    rooms.prepare(3, RATE)
    for number in range(6):
        room = rooms.draw(np.random.default_rng(number), 3, RATE)
        assert room is not None
        assert room.places is not None
        assert room.microphones is not None
        for positions, count in ((room.places, 3), (room.microphones, 4)):
            assert positions.shape == (count, 3)
            assert (positions > 0).all()
            assert (positions < size).all()
        assert np.allclose(np.linalg.norm(np.diff(room.microphones, axis=0), axis=1), 0.1)
        metres = np.linalg.norm(room.places[:, None] - room.microphones, axis=-1)
        # The direct sound of the first microphone is where every response begins.
        expected = (metres - metres[:, :1]) / SPEED_OF_SOUND * RATE
        peaks = np.abs(room.taps).argmax(-1)
        assert np.abs(peaks - peaks[:, :1] - expected).max() <= 1.0


def test_a_bank_is_drawn_once_from_its_seed() -> None:
    banks = [ImageRooms(rooms=2, order=2, seed=seed) for seed in (1, 1, 2)]
    for one in banks:
        one.prepare(2, RATE)
    first, again, other = ([room.taps for room in one.bank] for one in banks)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][:, :, :200], other[0][:, :, :200])
    kept = banks[0].bank
    banks[0].prepare(2, RATE)
    assert banks[0].bank is kept


def test_the_tail_of_a_room_goes_on_without_a_step() -> None:
    rng = np.random.default_rng(0)
    fall = 0.3 * RATE
    exact = rng.standard_normal(1600) * np.exp(-np.log(1000) / fall * np.arange(1600))
    out = lengthen(exact, 1600, 3200, fall, rng)
    assert np.array_equal(out[:1600], exact.astype(np.float32))
    before, after = np.sqrt(np.mean(out[1400:1600] ** 2)), np.sqrt(np.mean(out[1600:1800] ** 2))
    assert after / before == pytest.approx(10 ** (-3 * 200 / fall), rel=0.25)


def test_recorded_rooms_start_with_the_direct_sound(tmp_path: Path) -> None:
    for room, delay in (("hall", 800), ("cell", 100)):
        (tmp_path / room).mkdir()
        for number in range(2):
            x = np.zeros((4000, 2), np.float32)
            x[delay] = 0.5
            x[delay + 160 * (number + 1)] = 0.2
            sf.write(tmp_path / room / f"{number}.wav", x, RATE, subtype="FLOAT")
    rooms = RecordedRooms(str(tmp_path), p=1.0, seconds=0.1, early_seconds=0.012, microphones=2)
    drawn = rooms.draw(np.random.default_rng(0), 2, RATE)
    assert drawn is not None
    assert drawn.places is None
    assert drawn.taps.shape == (2, 2, 1600)
    assert np.argmax(drawn.taps[0, 0]) == 8
    echoes = sorted(int(np.flatnonzero(taps[0])[1]) - 8 for taps in drawn.taps)
    assert echoes == [160, 320]
    assert len(rooms.bank) == 2
    # Within 12 ms of the direct sound: the nearer echo only.
    assert sorted(int(np.count_nonzero(rooms.early(taps[0], RATE))) for taps in drawn.taps) == [1, 2]
    with pytest.raises(InputError, match=r"0.wav: 2 channels, but microphones is 4"):
        RecordedRooms(str(tmp_path), microphones=4).prepare(1, RATE)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"none: no sound files in it"):
        RecordedRooms(str(tmp_path / "none")).prepare(1, RATE)


def test_decay_rooms_are_of_some_sources() -> None:
    room = DecayRooms(p=0.5)
    drawn = [room.draw(np.random.default_rng(n), 2, RATE) for n in range(40)]
    taps = np.stack([one.taps for one in drawn if one is not None])
    wet = np.abs(taps[..., 0, 1:]).max(-1) > 0
    assert 0.3 < wet.mean() < 0.7
    assert (taps[..., 0] == 1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DecayRooms(p=-0.1), r"DecayRooms: p is -0.1; it must lie in 0 to 1"),
        (lambda: ImageRooms(rooms=0), r"ImageRooms: rooms, order and microphones must be 1 or more"),
        (lambda: ImageRooms(spacing=20.0), r"ImageRooms: spacing is 20.0; it must lie in 0.001 to 10"),
        (
            lambda: ImageRooms(t60=(0.1, 0.11), length=(40, 40), width=(40, 40)).prepare(1, RATE),
            r"ImageRooms: no room of these sizes has a T60 of 0.1 to 0.11 s; raise t60",
        ),
    ],
)
def test_ranges_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
