"""Which pictures are copied, and that the others come out right all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from media_factory import damage, move_stamps, tone, write_media
from person_videos import heard, is_copied, make_video, shown

from avsep.media.decode import probe

SECONDS = 2
TIMES = np.arange(25 * SECONDS) / 25


def media(path: Path, **options) -> Path:  # type: ignore[no-untyped-def]
    return write_media(path, sound=tone(SECONDS, 48_000), sample_rate=48_000, **({"times": TIMES} | options))


def check(path: Path, folder: Path, copied: bool, tolerance: float = 0.0011, **span: float) -> None:
    """Pictures are at the same times whether they are copied, or encoded for the mark; sound begins with the span."""
    clip = probe(path, **span)
    assert is_copied(clip) == copied
    sound = tone(clip.duration_seconds)
    warnings: list[str] = []
    marked = shown(make_video(clip, folder, sound, mark=True, warnings=warnings))
    video = make_video(clip, folder, sound, warnings=warnings)
    plain = shown(video)
    assert [n for _, n in plain][: len(marked)] == [n for _, n in marked]
    assert [t for t, _ in plain][: len(marked)] == pytest.approx([t for t, _ in marked], abs=tolerance)
    assert plain[0][0] == 0
    assert heard(video)[0] == 0
    assert len(plain) == len(marked)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "a.flv"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_h264_is_copied_from_any_container(tmp_path: Path, name: str, b_frames: int) -> None:
    check(media(tmp_path / name, max_b_frames=b_frames, key_every=20), tmp_path, copied=True)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_variable_rates_are_copied(tmp_path: Path, b_frames: int) -> None:
    times = np.array([0, 0.04, 0.1, 0.11, 0.5, *(0.6 + np.arange(30) / 30)])
    check(media(tmp_path / "a.mkv", times=times, max_b_frames=b_frames), tmp_path, copied=True)


@pytest.mark.parametrize("times", [TIMES + 0.7, TIMES - 0.7])
def test_pictures_that_begin_before_or_after_the_sound_are_copied(tmp_path: Path, times: np.ndarray) -> None:
    sound_start = max(0.0, -times[0])
    path = media(tmp_path / "a.mkv", times=times + sound_start, sound_start=sound_start, max_b_frames=2)
    check(path, tmp_path, copied=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv444p"),
        ("a.mkv", "libx264", "yuv422p"),
        ("a.mp4", "libx264", "yuv420p10le"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mpg", "mpeg1video", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.mkv", "libvpx", "yuv420p"),
        ("a.mkv", "libvpx-vp9", "yuv420p"),
        ("a.mp4", "libx265", "yuv420p"),
        ("a.mov", "prores", "yuv422p10le"),
        ("a.mov", "mjpeg", "yuvj420p"),
    ],
)
def test_what_browsers_do_not_play_is_encoded(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    sound_codec = "mp2" if name.endswith("mpg") else "aac"
    path = media(tmp_path / name, video_codec=codec, pixel_format=pixel_format, sound_codec=sound_codec)
    check(path, tmp_path, copied=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("span", "copied"),
    [
        ({"start": 0.8}, True),  # on a key frame
        ({"start": 0.78}, False),  # the picture before the key frame is on screen
        ({"start": 0.81}, True),  # the key frame is on screen
        ({"start": 1.0}, False),
        ({"end": 1.2}, True),
        ({"start": 0.8, "end": 1.6}, True),
        ({"start": 1.0, "end": 1.5}, False),
    ],
)
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_spans_that_begin_with_a_key_frame_are_copied(tmp_path: Path, name: str, span: dict, copied: bool) -> None:
    path = media(tmp_path / name, key_every=20, max_b_frames=0, sound_codec="flac")
    check(path, tmp_path, copied=copied, **span)


def test_a_span_ends_with_what_its_pictures_are_decoded_from(tmp_path: Path) -> None:
    clip = probe(media(tmp_path / "a.mp4", max_b_frames=3), end=1.02)
    assert is_copied(clip)
    pictures = shown(make_video(clip, tmp_path, tone(1.02)))
    numbers = [n for _, n in pictures]
    assert numbers[:26] == list(range(26))
    assert numbers == sorted(numbers)
    assert numbers[-1] <= 29
    assert [t for t, _ in pictures] == pytest.approx(TIMES[numbers], abs=0.001)


def test_damaged_pictures_are_encoded(tmp_path: Path) -> None:
    busy = np.random.default_rng(0).integers(0, 255, (50, 120, 160, 3), np.uint8)
    path = media(tmp_path / "a.ts", draw=lambda n, w, h: busy[n], key_every=10)
    clip = probe(damage(path, 0.5, 0.02))
    assert not is_copied(clip)
    warnings: list[str] = []
    times = [t for t, _ in shown(make_video(clip, tmp_path, tone(2), warnings=warnings))]
    assert len(times) > 30
    assert times == sorted(times)
    assert any("damaged picture(s)" in text for text in warnings)


@pytest.mark.parametrize("moved", [{-1: 1e5}, dict.fromkeys((20, 21, 22), 1491.0)])
def test_bad_time_stamps_are_not_copied(tmp_path: Path, moved: dict[int, float]) -> None:
    path = move_stamps(media(tmp_path / "a.mkv", max_b_frames=0), "video", moved)
    check(path, tmp_path, copied=False, tolerance=0.0011)
    assert max(t for t, _ in shown(tmp_path / "out.mp4")) == pytest.approx(TIMES[-1], abs=0.05)


def test_a_stream_whose_parameters_change_is_encoded(tmp_path: Path) -> None:
    """Two recordings in one file: what the header holds decodes only the first."""
    first = media(tmp_path / "1.ts", times=TIMES[:25])
    second = media(tmp_path / "2.ts", times=TIMES[25:], sound_start=1, max_b_frames=2)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    clip = probe(both)
    assert not is_copied(clip)
    assert len(shown(make_video(clip, tmp_path, tone(2), warnings=[]))) >= 48


def test_pictures_that_an_edit_list_hides_stay_hidden(tmp_path: Path, shared: Path) -> None:
    clip = probe(shared / "clips/edge/audio_starts_late_29_97fps.mp4")
    assert not is_copied(clip), "it begins within a group of pictures"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("edge/cuts_speaker_and_audience.mp4", True),
        ("edge/digital_silence.mp4", True),
        ("edge/face_leaves_vfr.mov", False),
        ("edge/no_face.mp4", False),
        ("edge/shorter_than_one_second.mp4", False),
        ("overlap/debate_two_men.avi", False),
        ("single/presenter_man_vfr22.mp4", True),
    ],
)
def test_real_clips(tmp_path: Path, shared: Path, name: str, copied: bool) -> None:
    clip = probe(shared / "clips" / name)
    assert is_copied(clip) == copied
    plain = [t for t, _ in shown(make_video(clip, tmp_path, tone(1)))]
    marked = [t for t, _ in shown(make_video(clip, tmp_path, tone(1), mark=True))]
    assert plain == pytest.approx(marked, abs=0.001)
