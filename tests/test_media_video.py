"""Pictures on the grid, and single pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_factory import damage, numbered_picture, picture_number, tone, write_media

from avsep.errors import InputError
from avsep.media.decode import ClipInfo, picture_at, probe, read_video

CLIPS = Path(__file__).parents[2] / "shared" / "clips"


def numbers(clip: ClipInfo, warnings: list[str] | None = None) -> dict[int, int]:
    """Grid number -> the number in its picture; checks that chunks follow each other."""
    found: dict[int, int] = {}
    for chunk in read_video(clip, pytest.fail if warnings is None else warnings.append):
        assert not found or chunk.first == max(found) + 1
        assert 0 < len(chunk) <= 25
        found |= {chunk.first + i: picture_number(luma) for i, luma in enumerate(chunk.luma)}
    return found


def media(path: Path, times: np.ndarray, seconds: float, **options) -> Path:  # type: ignore[no-untyped-def]
    return write_media(path, sound=tone(seconds), sound_codec="pcm_s16le", times=times, **options)


def test_one_picture_a_grid_instant_at_25_fps(tmp_path: Path) -> None:
    clip = probe(media(tmp_path / "a.mkv", np.arange(80) / 25, 3.2))
    assert numbers(clip) == {k: k for k in range(80)}


@pytest.mark.parametrize("fps", [60, 30, 29.97, 23.976, 12, 5])
def test_each_instant_shows_the_newest_picture_not_after_it(tmp_path: Path, fps: float) -> None:
    times = np.round(np.arange(int(3 * fps)) / fps, 3)
    clip = probe(media(tmp_path / "a.mkv", times, 3))
    expected = {k: int(np.flatnonzero(times <= k / 25 + 0.0015)[-1]) for k in range(78)}
    found = numbers(clip)
    assert found == {k: expected[k] for k in found}
    assert len(found) >= 75 - 1 - 25 / fps


def test_variable_frame_rate_and_held_pictures(tmp_path: Path) -> None:
    times = np.array([0, 0.01, 0.09, 0.5, 0.51, 2.0, 2.04])
    found = numbers(probe(media(tmp_path / "a.mkv", times, 3)))
    assert found[0] == 0
    assert found[1] == found[2] == 1
    assert found[3] == found[12] == 2
    assert found[13] == found[49] == 4
    assert (found[50], found[51]) == (5, 6)
    assert max(found) <= 52, "no pictures after the last one"


def test_pictures_that_start_after_the_sound(tmp_path: Path) -> None:
    found = numbers(probe(media(tmp_path / "a.mkv", 0.85 + np.arange(50) / 25, 3)))
    assert min(found) == 22
    assert all(number == grid - 22 for grid, number in found.items())


def test_pictures_that_start_before_the_sound(tmp_path: Path) -> None:
    clip = probe(media(tmp_path / "a.mkv", np.arange(75) / 25, 2, sound_start=0.8))
    assert clip.video is not None
    assert clip.video.start_seconds == pytest.approx(-0.8)
    found = numbers(clip)
    assert found == {k: k + 20 for k in range(-20, 55)}


def test_pictures_outside_the_sound_are_kept_unless_a_span_is_asked_for(tmp_path: Path) -> None:
    path = media(tmp_path / "a.mov", np.arange(100) / 25, 2)
    assert set(numbers(probe(path))) == set(range(100))
    assert set(numbers(probe(path, end=1.5))) <= set(range(39))
    assert set(numbers(probe(path, end=3))) == set(range(75)), "the span goes on where the sound is over"
    early = media(tmp_path / "b.mkv", np.arange(75) / 25, 2, sound_start=0.8)
    assert min(numbers(probe(early, start=0.5))) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "sound_codec"),
    [("a.mp4", "libx264", "aac"), ("a.mkv", "libx264", "aac"), ("a.webm", "libvpx", "libopus"),
     ("a.avi", "mpeg4", "pcm_s16le"), ("a.ts", "libx264", "aac"), ("a.mpg", "mpeg1video", "mp2")],
)  # fmt: skip
@pytest.mark.parametrize("start", [1.0, 7.02])
def test_a_span(tmp_path: Path, name: str, codec: str, sound_codec: str, start: float) -> None:
    path = write_media(
        tmp_path / name, sound=tone(10, 48_000), sample_rate=48_000, sound_codec=sound_codec,
        times=np.arange(250) / 25, video_codec=codec,
    )  # fmt: skip
    clip = probe(path, start=start, end=start + 1)
    assert clip.video is not None
    shift = -clip.video.start_seconds * 25
    found = numbers(clip)
    assert set(found) == set(range(25))
    for grid, number in found.items():
        assert number == int(np.floor(grid + shift + 0.0375)), f"grid {grid}"


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_pictures_are_upright(tmp_path: Path, rotation: int) -> None:
    def turned(number: int, width: int, height: int) -> np.ndarray:
        upright = numbered_picture(number, *((height, width) if rotation % 180 else (width, height)))
        return np.ascontiguousarray(np.rot90(upright, -rotation // 90))

    clip = probe(media(tmp_path / "a.mp4", np.arange(25) / 25, 1, size=(160, 96), draw=turned, sound_gap=None))
    assert numbers(clip) != {k: k for k in range(25)}, "the test's pictures are not turned"
    path = write_media(
        tmp_path / "b.mp4", sound=tone(1), times=np.arange(25) / 25, size=(160, 96), draw=turned, rotation=rotation
    )
    clip = probe(path)
    assert numbers(clip) == {k: k for k in range(25)}
    chunk = next(read_video(clip, pytest.fail))
    size = (160, 96) if rotation % 180 else (96, 160)
    assert chunk.luma.shape[1:] == size
    assert chunk.preview.shape[1:3] == size
    assert picture_number(chunk.preview[5].mean(axis=-1)) == 5
    assert picture_at(clip, 0.2).shape == (*size, 3)
    assert picture_number(picture_at(clip, 0.2).mean(axis=-1)) == 5


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p"])
def test_luma_is_the_same_for_all_pixel_formats(tmp_path: Path, pixel_format: str) -> None:
    codec = "mjpeg" if pixel_format == "yuvj420p" else "libx264"
    clip = probe(media(tmp_path / "a.mkv", np.arange(10) / 25, 1, pixel_format=pixel_format, video_codec=codec))
    luma = next(read_video(clip, pytest.fail)).luma[3]
    assert picture_number(luma) == 3
    assert luma[100].mean() == pytest.approx(16 + 128 * 219 / 255, abs=3)


def test_previews_are_small_and_in_colour(tmp_path: Path) -> None:
    def red(number: int, width: int, height: int) -> np.ndarray:
        return np.broadcast_to(np.array([200, 30, 30], np.uint8), (height, width, 3)).copy()

    chunk = next(
        read_video(probe(media(tmp_path / "a.mkv", np.arange(3) / 25, 1, size=(1280, 722), draw=red)), pytest.fail)
    )
    assert chunk.luma.shape == (3, 722, 1280)
    assert chunk.preview.shape == (3, 361, 640, 3)
    assert chunk.scale == 2
    assert np.abs(chunk.preview[0].mean(axis=(0, 1)) - [200, 30, 30]).max() < 12
    chunk = next(read_video(probe(media(tmp_path / "b.mkv", np.arange(3) / 25, 1)), pytest.fail))
    assert chunk.preview.shape == (3, 120, 160, 3), "previews are never enlarged"


def test_damaged_pictures_are_told_once(tmp_path: Path) -> None:
    def busy(number: int, width: int, height: int) -> np.ndarray:
        grain = np.random.default_rng(number).integers(0, 60, (height, width, 1))
        return (numbered_picture(number, width, height) * 0.7 + grain).astype(np.uint8)

    path = media(tmp_path / "a.mov", np.arange(150) / 25, 6, draw=busy)
    warnings: list[str] = []
    found = numbers(probe(damage(path, 0.4, 0.04)), warnings)
    assert set(found) == set(range(150)), "the time line did not hold"
    assert [found[k] for k in range(40)] == list(range(40))
    assert len([w for w in warnings if "damaged picture" in w]) == 1


def test_a_change_of_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    one = write_media(tmp_path / "1.ts", sound=tone(4), times=np.arange(50) / 25)
    two = write_media(
        tmp_path / "2.ts", sound=tone(0), times=2 + np.arange(50) / 25, size=(320, 240),
        draw=lambda n, w, h: numbered_picture(n + 50, w, h),
    )  # fmt: skip
    (tmp_path / "both.ts").write_bytes(one.read_bytes() + two.read_bytes())
    clip = probe(tmp_path / "both.ts")
    shown = list(numbers(clip, []).values())
    assert shown == sorted(shown)
    assert {*range(49), *range(51, 95)} <= set(shown)


def test_picture_at(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", sound=tone(8), times=0.5 + np.arange(150) / 25)
    clip = probe(path)
    for seconds, number in ((0.0, 0), (0.5, 0), (1.0, 12), (1.039, 13), (6.02, 138), (7.9, 149)):
        assert picture_number(picture_at(clip, seconds).mean(axis=-1)) == number, seconds
    later = probe(path, start=5)
    assert picture_number(picture_at(later, 1.02).mean(axis=-1)) == 138
    with pytest.raises(InputError, match="no picture"):
        picture_at(probe(write_media(tmp_path / "a.wav", sound=tone(1), sound_codec="pcm_s16le")), 0)


@pytest.mark.skipif(not CLIPS.exists(), reason="the real clips are not here")
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("overlap/debate_two_men.avi", 0, 150),
        ("edge/cuts_speaker_and_audience.mp4", 22, 250),
        ("edge/face_leaves_vfr.mov", -60, 99),
        ("edge/face_appears_late_vfr.mov", 0, 159),
        ("edge/audio_starts_late_29_97fps.mp4", 0, 174),
        ("edge/shorter_than_one_second.mp4", 0, 21),
        ("single/presenter_man_vfr22.mp4", 1, 153),
    ],
)
@pytest.mark.slow
def test_real_clips_cover_the_grid(name: str, first: int, last: int) -> None:
    grid = [chunk.first + i for chunk in read_video(probe(CLIPS / name), pytest.fail) for i in range(len(chunk))]
    assert grid == list(range(first, last + 1))
