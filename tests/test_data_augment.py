"""Changes of sound and of lips: each does what it says, within its ranges."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from data_factory import loudest_hz, tone

from avsep.data.augment import BandLimit, Clipping, Codec, Equaliser, Pauses, Speed
from avsep.data.lip_augment import (
    Blur,
    Brightness,
    Crop,
    Faces,
    Flip,
    Grain,
    LipAugment,
    Occlusion,
    SpanDropout,
    SyncJitter,
    Warp,
    apply,
)
from avsep.data.mixtures import carry
from avsep.data.rooms import ImageRooms, RecordedRooms, lengthen
from avsep.errors import InputError, UsageError

RATE = 16_000


def noise(length: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(length, dtype=np.float32)


def band_db(x: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(x)) ** 2
    hz = np.fft.rfftfreq(len(x), 1 / RATE)
    return float(10 * np.log10(power[(hz >= low) & (hz < high)].mean() + 1e-20))


def test_speed_changes_pitch_and_keeps_length() -> None:
    for factor in (0.8, 1.0, 1.25):
        x = tone(1000, 2.0)[: Speed.needed(RATE, factor)]
        y = Speed.sound(x, factor, RATE)
        assert y.shape == (RATE,)
        assert y.dtype == np.float32
        assert loudest_hz(y) == pytest.approx(1000 * factor, abs=1)
    assert np.array_equal(Speed.sound(x, 1.0, 100), x[:100])


def test_equaliser_tilts_by_decibels_an_octave() -> None:
    x = noise(2 * RATE)
    tilted = carry(x, [Equaliser(1.0, (3.0, 3.0), (0.0, 0.0))], None, np.random.default_rng(0))[0][0]
    gain = [band_db(tilted, f / 1.1, f * 1.1) - band_db(x, f / 1.1, f * 1.1) for f in (500, 1000, 2000, 4000)]
    assert gain == pytest.approx([-3, 0, 3, 6], abs=0.1)


def test_band_limit_takes_the_top_and_the_bottom_away() -> None:
    x = noise(2 * RATE)
    y = carry(x, [BandLimit(1.0, (3400, 3400), (300, 300))], None, np.random.default_rng(0))[0][0]
    assert band_db(y, 800, 2500) == pytest.approx(band_db(x, 800, 2500), abs=0.3)
    assert band_db(y, 5000, 8000) < band_db(x, 5000, 8000) - 30
    assert band_db(y, 10, 120) < band_db(x, 10, 120) - 30


def test_filters_without_their_share_change_nothing() -> None:
    x = noise(4000)
    y = carry(x, [Equaliser(0.0), BandLimit(0.0)], None, np.random.default_rng(0))[0][0]
    assert np.allclose(x, y, atol=1e-6)
    assert Clipping(0.0)(x, np.random.default_rng(0)) is x
    assert Codec(0.0)(x, np.random.default_rng(0)) is x


def test_a_response_is_a_convolution() -> None:
    x, response = noise(3000), noise(400, 1)[None]
    heard = carry(x, (), response, np.random.default_rng(0))[0]
    assert np.allclose(heard[0], np.convolve(x, response[0])[:3000], atol=1e-5)


def test_clipping_cuts_at_a_level_below_the_peak() -> None:
    x = noise(RATE)
    y = Clipping(1.0, (6.0, 6.0))(x, np.random.default_rng(0))
    assert np.abs(y).max() == pytest.approx(np.abs(x).max() * 10 ** (-6 / 20), rel=1e-5)
    inside = np.abs(x) < np.abs(y).max()
    assert np.array_equal(x[inside], y[inside])


@pytest.mark.parametrize("name", ["opus", "vorbis", "mp3", "ulaw"])
def test_codecs_lose_something_and_keep_time_and_level(name: Any) -> None:
    rng = np.random.default_rng(0)
    speechlike = np.stack([tone(700, 0.6) * np.hanning(9600), tone(1100, 0.6) * np.hanning(9600)]).astype(np.float32)
    for x in (speechlike[0], 20 * speechlike[0], speechlike):  # also one beyond full scale
        y = Codec(1.0, formats=(name,), compression=(0.5, 0.5))(x, rng)
        assert y.shape == x.shape
        assert y.dtype == np.float32
        assert not np.array_equal(x, y)
        error = np.sum((x - y) ** 2) / np.sum(x**2)
        assert 10 * np.log10(error) < -8, "shifted in time, or another sound"


def test_image_rooms_have_the_reverberation_they_are_asked_for() -> None:
    room = ImageRooms(share=1.0, rooms=3, t60=(0.5, 0.5), order=8, seed=2)
    room.prepare(2, RATE)
    for responses in room.responses:
        assert responses.shape == (2, 1, 4801)
        for response in responses[:, 0]:
            # Direct sound at the start, and the strongest.
            assert np.abs(response).argmax() <= 9
            assert np.abs(response).max() == pytest.approx(1.0)
            left = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
            start, end = (int(t * RATE) for t in (0.06, 0.16))
            slope = np.polyfit(np.arange(start, end) / RATE, left[start:end], 1)[0]
            assert -60 / slope == pytest.approx(0.5, rel=0.5)


def test_a_bank_is_drawn_once_from_its_seed() -> None:
    banks = [ImageRooms(rooms=2, order=2, seed=seed) for seed in (1, 1, 2)]
    for bank in banks:
        bank.prepare(2, RATE)
    first = banks[0].responses
    assert all(np.array_equal(a, b) for a, b in zip(first, banks[1].responses, strict=True))
    assert not np.array_equal(first[0][:, :, :200], banks[2].responses[0][:, :, :200])
    banks[0].prepare(2, RATE)
    assert banks[0].responses is first


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
    rooms = RecordedRooms(str(tmp_path), share=1.0, seconds=0.1, early_seconds=0.012, microphones=2)
    drawn = rooms.draw(np.random.default_rng(0), 2, RATE)
    assert drawn is not None
    assert drawn.shape == (2, 2, 1600)
    assert np.argmax(drawn[0, 0]) == 8
    echoes = sorted(int(np.flatnonzero(d[0])[1]) - 8 for d in drawn)
    assert echoes == [160, 320]
    assert len(rooms.responses) == 2
    # Within 12 ms of the direct sound: the nearer echo only.
    assert sorted(int(np.count_nonzero(rooms.early(d[0], RATE))) for d in drawn) == [1, 2]
    with pytest.raises(InputError, match=r"0.wav: 2 channels, but microphones is 4"):
        RecordedRooms(str(tmp_path), microphones=4).prepare(1, RATE)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"none: no sound files in it"):
        RecordedRooms(str(tmp_path / "none")).prepare(1, RATE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Speed((0.0, 1.0)), r"Speed: factor is \(0.0, 1.0\); it must lie in 0.25 to 4"),
        (lambda: Equaliser(share=1.5), r"Equaliser: share is 1.5; it must lie in 0 to 1"),
        (lambda: Equaliser(tilt_db=(3, -3)), r"Equaliser: tilt_db is \(3, -3\); a range goes from low to high"),
        (lambda: Pauses(alone=-0.1), r"Pauses: alone is -0.1"),
        (lambda: Codec(formats=("flac",)), r"Codec: formats are \('flac',\); they must be of opus, vorbis, mp3, ulaw"),
        (lambda: Codec(1.0, ("opus",))(noise(441), np.random.default_rng(0), 44_100), r"Codec: OPUS cannot hold"),
        (lambda: ImageRooms(rooms=0), r"ImageRooms: rooms, order and microphones must be 1 or more"),
        (
            lambda: ImageRooms(t60=(0.1, 0.11), length=(40, 40), width=(40, 40)).prepare(1, RATE),
            r"ImageRooms: no room of these sizes has a T60 of 0.1 to 0.11 s; raise t60",
        ),
        (lambda: Faces(0), r"Faces: shown is 0; it must be 1 or more"),
        (lambda: SpanDropout(frozen=2.0), r"SpanDropout: frozen is 2.0"),
        (lambda: Blur(factor=(0.5, 1.5)), r"Blur: factor is \(0.5, 1.5\); it must lie in 0.02 to 1"),
    ],
)
def test_ranges_that_make_no_sense_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


# ---- lips ----


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
    loud = np.zeros(20, bool)
    loud[5:12] = True
    rested = Faces(1, still=1.0).rest(lips, loud, np.random.default_rng(0))[:, 0, 0]
    assert np.array_equal(rested[5:12], lips[5:12, 0, 0])
    assert (rested[:5] == lips[0, 0, 0]).all()
    assert (rested[12:] == lips[11, 0, 0]).all()
    assert Faces(1, still=0.0).rest(lips, loud, np.random.default_rng(0)) is lips
