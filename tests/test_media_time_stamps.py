"""Time stamps that cannot be right, and those that tell of gaps."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from media_factory import move_stamps, picture_number, tone, write_media

from avsep.media.container import Damage
from avsep.media.decode import probe, read_audio, read_video
from avsep.media.time_stamps import corrected

SECOND = 1000
"""Ticks of the made-up frames."""


def frames(stamps: list[float | None]) -> Iterator[SimpleNamespace]:
    for stamp in stamps:
        pts = None if stamp is None else round(stamp * SECOND)
        yield SimpleNamespace(pts=pts, time_base=Fraction(1, SECOND))


def after(stamps: list[float | None], last_may_jump: bool = True) -> tuple[list[float | None], int]:
    """Time stamps of frames of 0.1 s each once they are corrected, and how many were."""
    damage = Damage()
    found = corrected(frames(stamps), lambda _: 0.1, 0.05, damage, last_may_jump=last_may_jump)
    return [None if f.pts is None else f.pts / SECOND for f in found], damage.bad_stamps


def later(stamps: list[float], seconds: float) -> list[float]:
    return [round(stamp + seconds, 1) for stamp in stamps]


LINE = [round(i / 10, 1) for i in range(20)]


def with_stamps(changes: dict[int, float | None]) -> list[float | None]:
    return [changes.get(i, stamp) for i, stamp in enumerate(LINE)]


@pytest.mark.parametrize(
    "changes",
    [
        {7: 3.0}, {7: -500.0}, {7: 1e5}, {19: 5.0}, {7: 4.0, 12: 0.0}, {7: 300.7, 8: 300.8, 9: 300.9},
        {0: 100.0}, {0: -100.0}, {18: 0.3},
    ],
)  # fmt: skip
def test_a_bad_stamp_changes_nothing(changes: dict[int, float | None]) -> None:
    assert after(with_stamps(changes), last_may_jump=False) == (LINE, len(changes))


@pytest.mark.parametrize(
    "stamps",
    [
        LINE,
        with_stamps({4: None, 5: None}),
        LINE[:10] + later(LINE[10:], 5),  # a gap
        LINE[:10] + later(LINE[10:], -1),  # a reset
        LINE[:1] + later(LINE[1:], 5),
        LINE[:18] + later(LINE[18:], 5),
        [round(3 * s, 1) for s in LINE],  # frames that last longer than they should
        [0.0, 30.0, 60.0, 90.0, 120.0],
        [0.0, 30.0],
        [5.0],
        [None, None, 0.2, 0.3],
        [],
    ],
)
def test_gaps_and_resets_are_left(stamps: list[float | None]) -> None:
    assert after(stamps) == (stamps, 0)


def test_what_was_lost_is_told_with_the_frame_after_it() -> None:
    """The marks of lost pieces stay with their frames, also where frames are fetched ahead."""
    damage = Damage()

    def lossy() -> Iterator[SimpleNamespace]:
        for number, frame in enumerate(frames(with_stamps({5: 9.0}))):
            damage.fresh |= number in (2, 9)
            yield frame

    fresh = []
    for number, _ in enumerate(corrected(lossy(), lambda _: 0.1, 0.05, damage)):
        fresh += [number] * damage.fresh
        damage.fresh = False
    assert fresh == [2, 9]


def clip_with(tmp_path: Path, kind: str, moved: dict[int, float], name: str = "a.mkv") -> Path:
    path = write_media(tmp_path / name, sound=tone(1.2), sound_codec="pcm_s16le", times=np.arange(30) / 25)
    return move_stamps(path, kind, moved)


@pytest.mark.parametrize("name", ["a.mkv", "a.mov"])
@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ({-1: 1e5}, "the time stamps of the pictures jump, the first at 1.12 s; sound and pictures may be"),
        ({-1: 400.0}, "the time stamps of the pictures jump, the first at 1.12 s"),
        (dict.fromkeys((5, 6, 7), 1491), "3 time stamp(s) of the pictures cannot be right and were put right"),
        (dict.fromkeys(range(20, 30), 300), "the time stamps of the pictures jump, the first at 0.76 s"),
    ],
)  # fmt: skip
def test_bad_stamps_of_pictures(tmp_path: Path, name: str, moved: dict[int, float], told: str) -> None:
    warnings: list[str] = []
    chunks = list(read_video(probe(clip_with(tmp_path, "video", moved, name)), warnings.append))
    shown = {chunk.first + i: picture_number(luma) for chunk in chunks for i, luma in enumerate(chunk.luma)}
    assert shown == {k: k for k in range(30)}
    assert len(warnings) == 1
    assert told in warnings[0]


def test_the_first_picture_s_stamp(tmp_path: Path) -> None:
    clip = probe(clip_with(tmp_path, "video", {0: 50.0}))
    assert clip.video is not None
    assert clip.video.start_seconds == pytest.approx(0)
    assert sum(len(chunk) for chunk in read_video(clip, [].append)) == 30


def test_a_picture_may_be_held_as_long_as_there_is_sound(tmp_path: Path) -> None:
    times = np.array([0.0, 0.04, 15.0, 15.04, 22.0, 40.0, 40.04])
    path = write_media(tmp_path / "a.mkv", sound=tone(16, 8_000), sample_rate=8_000, sound_codec="flac", times=times)
    warnings: list[str] = []
    found = list(read_video(probe(path), warnings.append))
    shown = {chunk.first + i: picture_number(luma) for chunk in found for i, luma in enumerate(chunk.luma)}
    assert (shown[374], shown[375], shown[549], shown[550]) == (1, 2, 3, 4)
    assert max(shown) == pytest.approx(552, abs=2), "what comes 18 s later, long after the sound, follows at once"
    assert "jump, the first at 22.00 s" in warnings[0]


@pytest.mark.parametrize(("packet", "by"), [(5, 7.0), (5, 0.2), (5, 1e5), (-1, 300.0), (0, 50.0)])
def test_one_bad_stamp_of_the_sound(tmp_path: Path, packet: int, by: float) -> None:
    path = clip_with(tmp_path, "audio", {packet: by})
    warnings: list[str] = []
    clip = probe(path)
    assert clip.origin_seconds == 0
    samples = np.concatenate([b.samples for b in read_audio(clip, warnings.append)], axis=1)
    assert samples.shape == (1, 19_200)
    assert np.abs(samples - tone(1.2)).max() < 1e-3
    assert "1 time stamp(s) of the sound cannot be right and were put right" in warnings[0]


def test_stamps_that_begin_anew_go_on_in_both_streams(tmp_path: Path) -> None:
    """Two recordings in one file: the second follows the first."""
    parts = [
        write_media(
            tmp_path / f"{i}.ts", sound=tone(3, 48_000), sample_rate=48_000, sound_codec="mp2", times=np.arange(75) / 25
        )
        for i in range(2)
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    warnings: list[str] = []
    clip = probe(both)
    numbers = [picture_number(luma) for chunk in read_video(clip, warnings.append) for luma in chunk.luma]
    assert numbers[-74:] == list(range(1, 75)), "the pictures of the second part are not shown one by one"
    assert len(numbers) == pytest.approx(150, abs=3)
    assert sum(len(b.samples[0]) for b in read_audio(clip, warnings.append)) / 48_000 == pytest.approx(6, abs=0.1)
    assert all("jump" in text for text in warnings)
    assert len(warnings) == 2
