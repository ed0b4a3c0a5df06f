"""The video of one person, copied or encoded."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_factory import numbered_picture, picture_number, tone, write_media
from person_videos import NOBODY, click, heard, is_copied, make_video, person, shown

from avsep.media import person_video
from avsep.media.decode import PictureLog, picture_at, probe, read_video
from avsep.media.encode import PersonVideo, write_person_videos

both_ways = pytest.mark.parametrize("mark", [False, True], ids=["copied", "marked"])

TIMES = np.array([0, 0.04, 0.1, 0.11, 0.5, *(0.6 + np.arange(60) / 30)])


@both_ways
def test_a_person_video_plays_in_a_browser(tmp_path: Path, mark: bool) -> None:
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(3), sound_codec="pcm_s16le", times=TIMES, size=(162, 122)))
    path = make_video(clip, tmp_path, tone(3, 44_100, 2), 44_100, mark=mark)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt, video.width, video.height) == ("h264", "yuv420p", 162, 122)
        assert (audio.codec_context.name, audio.sample_rate, audio.channels) == ("aac", 44_100, 2)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat"), "a browser could not start before the whole file is there"


@both_ways
def test_pictures_keep_their_times(tmp_path: Path, mark: bool) -> None:
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(3), sound_codec="pcm_s16le", times=TIMES))
    pictures = shown(make_video(clip, tmp_path, tone(3), mark=mark))
    assert [n for _, n in pictures] == list(range(len(TIMES)))
    assert np.abs(np.array([t for t, _ in pictures]) - TIMES).max() < 0.0011


def test_the_face_is_marked_while_on_screen(tmp_path: Path) -> None:
    times = np.arange(50) / 25
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(2), sound_codec="pcm_s16le", times=times))
    who = person(10, 20, (20, 70, 60, 110))
    video = probe(make_video(clip, tmp_path, tone(2), mark=True, who=who))
    for grid in (0, 9, 10, 20, 29, 31, 49):
        picture = picture_at(video, grid / 25).astype(int)
        yellow = (picture[..., 0] > 150) & (picture[..., 1] > 150) & (picture[..., 2] < 90)
        if 10 <= grid < 30:
            rows, columns = np.nonzero(yellow)
            assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((70, 109, 20, 59), abs=1)
            assert yellow.mean() < 0.03, "more than a thin line"
        else:
            assert not yellow.any(), grid


def test_nobody_is_marked_unless_asked_for(tmp_path: Path) -> None:
    path = write_media(tmp_path / "in.mkv", sound=tone(1), times=np.arange(25) / 25, pixel_format="yuv444p")
    video = make_video(probe(path), tmp_path, tone(1), who=person(0, 25, (20, 70, 60, 110)))
    lower = picture_at(probe(video), 0.5)[60:].astype(int)
    assert np.abs(lower - 128).max() < 8, "the gray half shows more than gray"


@pytest.mark.parametrize(
    ("rate", "channels", "written"),
    [
        (8_000, 1, (8_000, 1)),
        (37_000, 2, (48_000, 2)),
        (96_000, 6, (48_000, 2)),
        (48_000, 3, (48_000, 2)),
        (16_000, 10, (16_000, 2)),
    ],
)
def test_any_rate_and_layout_becomes_playable(
    tmp_path: Path, rate: int, channels: int, written: tuple[int, int]
) -> None:
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(2), times=np.arange(50) / 25))
    sound = np.repeat(0.2 * tone(2, rate), channels, axis=0)
    start, samples, found = heard(make_video(clip, tmp_path, sound, rate))
    assert (start, found, len(samples)) == (0, *written)
    assert samples.shape[1] / found == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[0, found // 4 : found // 4 + found]))
    assert spectrum.argmax() == 440


@both_ways
@pytest.mark.parametrize(
    ("options", "start", "click_at", "picture", "expected"),
    [
        ({}, None, 1.0, 25, 1.0),
        ({"sound_start": 0.8}, None, 1.0, 45, 1.8),  # pictures first: the video begins with them
        ({"times": 0.8 + np.arange(60) / 25}, None, 1.0, 5, 1.0),  # sound first
        ({}, 0.52, 1.0, 38, 1.0),  # a span
    ],
)
def test_sound_and_pictures_stay_in_step(
    tmp_path: Path, options: dict, start: float | None, click_at: float, picture: int, expected: float, mark: bool
) -> None:
    """A click in the wav is heard when the picture of that moment is seen."""
    options = {"times": np.arange(75) / 25, **options}
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(3), sound_codec="pcm_s16le", **options), start=start)
    path = make_video(clip, tmp_path, click(2, click_at), mark=mark)
    begin, samples, rate = heard(path)
    heard_at = begin + np.abs(samples[0]).argmax() / rate
    assert heard_at == pytest.approx(expected, abs=0.012)
    pictures = shown(path)
    assert pictures[0][0] == 0
    assert max(number for seconds, number in pictures if seconds <= expected + 0.0015) == picture


@both_ways
@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_pictures_are_shown_upright(tmp_path: Path, rotation: int, name: str, mark: bool) -> None:
    def turned(number: int, width: int, height: int) -> np.ndarray:
        upright = numbered_picture(number, *((height, width) if rotation % 180 else (width, height)))
        return np.ascontiguousarray(np.rot90(upright, -rotation // 90))

    source = write_media(tmp_path / name, sound=tone(1), times=np.arange(25) / 25, draw=turned, rotation=rotation)
    written = probe(make_video(probe(source), tmp_path, tone(1), mark=mark))
    assert written.video is not None
    assert (written.video.width, written.video.height) == ((120, 160) if rotation % 180 else (160, 120))
    assert written.video.rotation == (0 if mark else rotation % 360), "only what is encoded is turned"
    chunk = next(read_video(written, pytest.fail))
    assert [picture_number(luma) for luma in chunk.luma] == list(range(25))


@both_ways
@pytest.mark.parametrize("rotation", [0, 90])
def test_pixels_that_are_not_square(tmp_path: Path, rotation: int, mark: bool) -> None:
    wide = {"pixel_aspect": Fraction(64, 45), "rotation": rotation}
    clip = probe(write_media(tmp_path / "in.mp4", sound=tone(1), times=np.arange(25) / 25, **wide))
    video = probe(make_video(clip, tmp_path, tone(1), mark=mark)).video
    assert video is not None
    assert video.pixel_aspect == (Fraction(45, 64) if rotation else Fraction(64, 45)), "as it is shown"


def test_pixels_that_only_the_container_calls_wide(tmp_path: Path) -> None:
    square = write_media(tmp_path / "a.mp4", sound=tone(1), times=np.arange(25) / 25)
    with av.open(str(square)) as source, av.open(str(tmp_path / "in.mp4"), "w") as target:
        streams = [target.add_stream_from_template(s) for s in source.streams]
        streams[0].codec_context.sample_aspect_ratio = Fraction(2)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    clip = probe(tmp_path / "in.mp4")
    assert is_copied(clip)
    video = probe(make_video(clip, tmp_path, tone(1))).video
    assert video is not None
    assert video.pixel_aspect == 2


def packets(path: Path) -> list[bytes]:
    """The encoded pictures of a file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("way", ["copied", "encoded", "marked"])
def test_one_reading_serves_all_people(tmp_path: Path, way: str) -> None:
    pixel_format = "yuv444p" if way == "encoded" else "yuv420p"
    source = write_media(tmp_path / "in.mov", sound=tone(2), times=np.arange(50) / 25, pixel_format=pixel_format)
    jobs = []
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", tone(2, frequency=300 * (i + 1))[0], 16_000)
        who = person(0, 50, (10 + 40 * i, 70, 40 + 40 * i, 110))
        jobs.append(PersonVideo(tmp_path / f"{i}.mp4", who, tmp_path / f"{i}.wav"))
    calls: list[tuple[str, float, float]] = []
    write_person_videos(probe(source), jobs, pytest.fail, lambda *call: calls.append(call), mark=way == "marked")
    assert {step for step, _, _ in calls} == {"video"}
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert calls[-1][1] == calls[-1][2] == pytest.approx(2, abs=0.05)
    for i in range(3):
        _, samples, rate = heard(tmp_path / f"{i}.mp4")
        assert np.abs(np.fft.rfft(samples[0, :rate])).argmax() == 300 * (i + 1)
        assert [n for _, n in shown(tmp_path / f"{i}.mp4")] == list(range(50))
    first, *others = (packets(tmp_path / f"{i}.mp4") for i in range(3))
    assert (first == packets(source)) == (way == "copied")
    assert all((other == first) == (way != "marked") for other in others)


def test_an_earlier_reading_saves_decoding_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = probe(write_media(tmp_path / "in.mp4", sound=tone(1), times=np.arange(25) / 25))
    soundfile.write(tmp_path / "a.wav", tone(1)[0], 16_000)
    jobs = [PersonVideo(tmp_path / "a.mp4", NOBODY, tmp_path / "a.wav")]
    log = PictureLog()
    list(read_video(clip, pytest.fail, log=log))
    monkeypatch.setattr(person_video, "log_pictures", lambda clip: pytest.fail("decoded once more"))
    monkeypatch.setattr(person_video, "encode_pictures", lambda *_: pytest.fail("encoded"))
    write_person_videos(clip, jobs, pytest.fail, log=log)
    assert [n for _, n in shown(tmp_path / "a.mp4")] == list(range(25))


def test_integers_stored_as_floats_are_brought_to_full_scale(tmp_path: Path) -> None:
    """All tracks by one factor; sound that is only somewhat too loud is cut, as players do it."""
    clip = probe(write_media(tmp_path / "in.mp4", sound=tone(1), times=np.arange(25) / 25))
    soundfile.write(tmp_path / "loud.wav", 2.0**15 * tone(1)[0], 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "soft.wav", 2.0**13 * tone(1)[0], 16_000, subtype="FLOAT")
    jobs = [PersonVideo(tmp_path / f"{name}.mp4", NOBODY, tmp_path / f"{name}.wav") for name in ("loud", "soft")]
    write_person_videos(clip, jobs, pytest.fail)
    levels = [np.abs(heard(job.path)[1][0, 4_000:12_000]).max() for job in jobs]
    assert levels == pytest.approx([1, 0.25], rel=0.1)
    path = make_video(clip, tmp_path, 4 * tone(1))
    assert np.sqrt(np.mean(heard(path)[1][0, 4_000:12_000] ** 2)) > 0.8, "a tone that is cut at full scale"


def test_sound_files_without_pictures_write_nothing(tmp_path: Path) -> None:
    clip = probe(write_media(tmp_path / "a.wav", sound=tone(1), sound_codec="pcm_s16le"))
    write_person_videos(clip, [PersonVideo(tmp_path / "a.mp4", NOBODY, tmp_path / "a.wav")], pytest.fail)
    assert sorted(os.listdir(tmp_path)) == ["a.wav"]
