"""What `probe` finds in a file, and what it says about files it cannot use."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media_factory import numbered_picture, tone, write_media

from avsep.errors import InputError, UsageError
from avsep.media.decode import probe, read_audio, read_video

CLIPS = Path(__file__).parents[2] / "shared" / "clips"
TIMES = np.arange(25) / 25


def test_tells_streams_and_length(tmp_path: Path) -> None:
    path = write_media(
        tmp_path / "a.mov", sound=tone(1, 48_000, 6), sample_rate=48_000, sound_codec="pcm_s16le", times=TIMES
    )
    clip = probe(path)
    assert (clip.audio.stream, clip.audio.sample_rate, clip.audio.channels, clip.audio.codec) == (
        0,
        48_000,
        6,
        "pcm_s16le",
    )
    assert clip.video is not None
    assert (clip.video.width, clip.video.height, clip.video.rotation) == (160, 120, 0)
    assert clip.video.fps == pytest.approx(25, abs=0.1)
    assert (clip.start_seconds, clip.duration_seconds) == (0, pytest.approx(1, abs=0.01))


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.wav", "pcm_s24le", 22_050),
        ("a.flac", "flac", 44_100),
        ("a.mp3", "libmp3lame", 44_100),
        ("a.opus", "libopus", 48_000),
    ],
)
def test_sound_without_pictures(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    clip = probe(write_media(tmp_path / name, sound=tone(1, rate, 2), sample_rate=rate, sound_codec=codec))
    assert clip.video is None
    assert (clip.audio.sample_rate, clip.audio.channels) == (rate, 2)
    assert clip.duration_seconds == pytest.approx(1, abs=0.03)
    assert list(read_video(clip, pytest.fail)) == []


def test_rotation_is_counted_into_the_size(tmp_path: Path) -> None:
    clip = probe(write_media(tmp_path / "a.mp4", sound=tone(1), times=TIMES, rotation=-90))
    assert clip.video is not None
    assert (clip.video.width, clip.video.height, clip.video.rotation) == (120, 160, 270)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = write_media(tmp_path / "a.mp3", sound=tone(1, 44_100), sample_rate=44_100, sound_codec="libmp3lame")
    jpeg = cv2.imencode(".jpg", numbered_picture(3))[1].tobytes()
    frame = b"\0image/jpeg\0\x03\0" + jpeg
    tag = b"APIC" + len(frame).to_bytes(4, "big") + b"\0\0" + frame
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    body = path.read_bytes()
    old = 10 + int.from_bytes(body[6:10], "big") if body[:3] == b"ID3" else 0
    path.write_bytes(b"ID3\x03\0\0" + size + tag + body[old:])
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1, "the test's own picture is not seen as one"
    assert probe(path).video is None


def test_the_audio_stream_can_be_chosen(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", sound=[tone(1), tone(0.5)], sound_codec="pcm_s16le")
    lengths = {n: sum(b.seconds for b in read_audio(probe(path, audio_stream=n), pytest.fail)) for n in (None, 0, 1)}
    assert lengths == {None: 1.0, 0: 1.0, 1: 0.5}
    with pytest.raises(UsageError, match=r"--audio-stream 2: .* has 2 audio streams; allowed: 0, 1"):
        probe(path, audio_stream=2)
    with pytest.raises(UsageError, match="allowed: 0, 1"):
        probe(path, audio_stream=-1)


def test_a_name_that_looks_like_an_address(tmp_path: Path) -> None:
    path = write_media(tmp_path / "plain.wav", sound=tone(1), sound_codec="pcm_s16le")
    assert probe(path.rename(tmp_path / "take:1 ü %d.wav")).duration_seconds == 1


def test_spans(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", sound=tone(2), sound_codec="pcm_s16le", times=TIMES)
    clip = probe(path, start=0.5, end=1.25)
    assert (clip.start_seconds, clip.duration_seconds) == (0.5, 0.75)
    assert clip.video is not None
    assert clip.video.start_seconds == pytest.approx(-0.5, abs=0.002)
    assert probe(path, end=5).duration_seconds == pytest.approx(2, abs=0.002)
    with pytest.raises(InputError, match=r"--start 2 s is at or after the end of the sound, which lasts 2\.00 s"):
        probe(path, start=2)
    for start, end in ((1, 1), (1, 0.5), (None, 0)):
        with pytest.raises(UsageError, match="--end"):
            probe(path, start=start, end=end)
    with pytest.raises(UsageError, match=r"--start -1 is not a time"):
        probe(path, start=-1)
    with pytest.raises(UsageError, match="nan"):
        probe(path, end=float("nan"))


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "missing.mp4", "no such file"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: _written(folder / "a.mp4", b""), "is empty"),
        (lambda folder: _written(folder / "a.mp4", b"Dear Sir or Madam,\n" * 40), "holds text"),
        (lambda folder: _written(folder / "a.mp4", np.random.default_rng(0).bytes(9000)), "not a media file"),
        (lambda folder: _cut(write_media(folder / "a.mp4", sound=tone(1), times=TIMES)), r"incomplete.*moov"),
        (lambda folder: write_media(folder / "a.mp4", times=TIMES), "no audio stream, so there is nothing to separate"),
        (lambda folder: write_media(folder / "a.wav", sound=tone(0), sound_codec="pcm_s16le"), r"no sound.*0 s"),
    ],
    ids=["missing", "folder", "empty", "text", "noise", "truncated", "no audio", "zero seconds"],
)
def test_unusable_files(tmp_path: Path, make, message: str) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        probe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_real_clip_without_sound() -> None:
    path = CLIPS / "edge" / "no_audio_stream.mp4"
    if not path.exists():
        pytest.skip("the real clips are not here")
    with pytest.raises(InputError, match="no audio stream"):
        probe(path)
