"""Rooms: reverberation, positions, and what of a response is the target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from avsep.data.image_rooms import ImageRooms, angle_between, lengthen
from avsep.data.rendered_rooms import RenderedRooms, read_rooms
from avsep.data.rooms import SPEED_OF_SOUND, DecayRooms, RecordedRooms
from avsep.errors import InputError, UsageError
from preprocessing.render_rooms import main as render_rooms

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
        # The direct sound of the nearest microphone is where every response begins.
        expected = (metres - metres[:, :1]) / SPEED_OF_SOUND * RATE
        peaks = np.abs(room.taps).argmax(-1)
        assert np.abs(peaks - peaks[:, :1] - expected).max() <= 1.0


def test_arrays_have_their_shapes_and_sources_stand_apart() -> None:
    shapes = {
        "linear": lambda x: np.allclose(np.linalg.norm(np.diff(x, axis=0), axis=1), 0.04),
        "circular": lambda x: np.allclose(np.linalg.norm(x - x.mean(axis=0), axis=1), 0.1),
        "ad_hoc": lambda x: np.linalg.norm(x - x.mean(axis=0), axis=1).max() > 0.3,
    }
    for shape, fits in shapes.items():
        rooms = ImageRooms(arrays=(shape,), microphones=6, spacing=0.04, radius=0.1, apart=50.0)
        for number in range(10):
            layout = rooms.layout(np.random.default_rng(number), 3)
            assert fits(layout.array)
            middle = layout.array.mean(axis=0)
            angles = [angle_between(layout.places[i] - middle, layout.places[j] - middle) for i, j in ((0, 1), (0, 2))]
            assert min(angles) >= 50
    both = ImageRooms(arrays=("linear", "circular"), microphones=3, spacing=(0.01, 0.02), radius=(0.1, 0.2))
    layouts = [both.layout(np.random.default_rng(number), 1) for number in range(20)]
    lines = [np.allclose(np.diff(layout.array, 2, axis=0), 0) for layout in layouts]
    assert 3 < sum(lines) < 17


def test_early_images_count_from_the_direct_sound_at_each_microphone() -> None:
    rooms = ImageRooms(arrays=("ad_hoc",), microphones=4, order=2, early_seconds=0.01, seed=3)
    room = rooms.simulate(np.random.default_rng(0), 1, RATE)
    assert room.direct is not None
    assert np.ptp(room.direct) > 30  # metres apart
    early = rooms.early(room, 0, RATE)
    for microphone, arrival in enumerate(room.direct[0]):
        end = arrival + 160
        assert np.array_equal(early[microphone, :end], room.taps[0, microphone, :end])
        assert not early[microphone, end:].any()
        assert np.abs(room.taps[0, microphone, : arrival - 2]).max(initial=0) < 0.5 * np.abs(early[microphone]).max()


def test_more_reflections_than_a_response_is_long_change_nothing() -> None:
    sides = {name: (side, side) for name, side in (("length", 4.0), ("width", 3.5), ("height", 2.6))}
    exact, more = (
        ImageRooms(**sides, t60=(0.2, 0.2), order=order).simulate(np.random.default_rng(0), 2, RATE).taps
        for order in (30, 60)
    )
    assert np.array_equal(exact, more)


def test_rooms_are_rendered_once_and_drawn_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rooms.npz"
    command = [str(file), "--rooms", "3", "--sources", "2", "--microphones", "5", "--order", "2", "--t60", "0.1", "0.2"]
    assert render_rooms([*command, "--workers", "1"]) == 0
    kept, rate = read_rooms(file)
    assert rate == RATE
    assert {room.taps.shape[:2] for room in kept} == {(3, 5)}
    assert len({room.taps.shape[2] for room in kept}) == 3
    rooms = RenderedRooms(str(file), microphones=4)
    seen = set()
    for number in range(30):
        room = rooms.draw(np.random.default_rng(number), 2, RATE)
        assert room is not None
        assert room.places is not None
        assert room.microphones is not None
        assert room.direct is not None
        assert room.taps.shape[:2] == room.direct.shape == (2, 4)
        # What belongs together stays together: the sound arrives when the positions say.
        metres = np.linalg.norm(room.places[:, None] - room.microphones, axis=-1)
        expected = (metres - metres[:, :1]) / SPEED_OF_SOUND * RATE
        assert np.abs(room.direct - room.direct[:, :1] - expected).max() <= 1.0
        seen.add(tuple(room.microphones[0]))
    assert len(seen) > 10
    fixed = RenderedRooms(str(file), microphones=2, reference=3)
    drawn = [fixed.draw(np.random.default_rng(number), 2, RATE) for number in range(20)]
    assert len({tuple(room.microphones[0]) for room in drawn if room and room.microphones is not None}) == 3

    with pytest.raises(UsageError, match=r"rooms at 16000 Hz, and the data are made at 8000 Hz; .*--sample-rate 8000"):
        RenderedRooms(str(file)).prepare(2, 8000)
    with pytest.raises(UsageError, match=r"3 places in a room, and 4 are needed .*; render rooms with --sources 3"):
        RenderedRooms(str(file)).prepare(4, RATE)
    with pytest.raises(UsageError, match=r"5 microphones in a room, and RenderedRooms asks for 8; .*--microphones 8"):
        RenderedRooms(str(file), microphones=8).prepare(2, RATE)
    with pytest.raises(InputError, match=r"none.npz: holds no rooms that can be read"):
        RenderedRooms(str(tmp_path / "none.npz")).prepare(2, RATE)


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
    assert sorted(int(np.count_nonzero(rooms.early(drawn, place, RATE)[0])) for place in range(2)) == [1, 2]
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
            lambda: ImageRooms(arrays=("round",)),
            r"ImageRooms: arrays is \('round',\); give some of linear, circular, ad_hoc",
        ),
        (
            lambda: ImageRooms(apart=120.0, distance=(1.5, 2.0), length=(4, 4), width=(2.5, 2.5)).layout(
                np.random.default_rng(0), 4
            ),
            r"ImageRooms: no room has 4 places 120 degrees apart, 1.5 m or more from the microphones; lower apart",
        ),
        (
            lambda: ImageRooms(t60=(0.1, 0.11), length=(40, 40), width=(40, 40)).prepare(1, RATE),
            r"ImageRooms: no room of these sizes has a T60 of 0.1 to 0.11 s; raise t60",
        ),
    ],
)
def test_ranges_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()
