"""Only files that hold their sound and pictures themselves are opened: whatever a file is called, it names no other."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.format import ContainerFormat
from media_factory import tone, write_media

from avsep.data.sound_file import SoundReader, whole_seconds
from avsep.errors import InputError
from avsep.media.formats import FORMATS, OPEN_OPTIONS
from avsep.media.probe import probe

TIMES = np.arange(5) / 25


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return write_media(tmp_path / "elsewhere" / "secret.ts", sound=tone(1), times=np.arange(25) / 25)


PLAYLISTS = {
    "list.mp4": "ffconcat version 1.0\nfile elsewhere/secret.ts\n",
    "list.ffconcat": "ffconcat version 1.0\nfile elsewhere/secret.ts\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{secret}\n#EXT-X-ENDLIST\n",
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\n{secret}\n#EXT-X-ENDLIST\n",
    "itself.mp4": "ffconcat version 1.0\nfile itself.mp4\n",
    "itself.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1.0,\nitself.m3u8\n#EXT-X-ENDLIST\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period></Period></MPD>',
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_is_refused_in_one_line(tmp_path: Path, secret: Path, name: str) -> None:
    (tmp_path / name).write_text(PLAYLISTS[name].format(secret=secret))
    for read in (probe, SoundReader):
        with pytest.raises(InputError, match="a playlist is not followed") as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_playlist_that_does_not_look_like_text_is_refused_too(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile elsewhere/secret.ts\n# \x01\x02\x03\n")
    with av.open(str(tmp_path / "list.mp4"), options={"safe": "1"}) as container:
        assert container.format.name == "concat", "the test's own list is not followed by FFmpeg"
    with pytest.raises(InputError, match="not of a kind that is opened"):
        probe(tmp_path / "list.mp4")


def test_a_name_with_a_pattern_opens_no_other_files(tmp_path: Path) -> None:
    """FFmpeg's image2 reads frame1.jpg, frame2.jpg, ... where a file is called frame%d.jpg."""
    cv2 = pytest.importorskip("cv2")
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"frame{number}.jpg"), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "frame%d.jpg").write_bytes(b"\x01\x02")
    with av.open(str(tmp_path / "frame%d.jpg")) as container:
        assert container.format.name == "image2", "the test's own pattern is not followed by FFmpeg"
    with pytest.raises(InputError, match=r"frame%d\.jpg"):
        probe(tmp_path / "frame%d.jpg")


@pytest.mark.parametrize(
    ("name", "sound", "pictures"),
    [
        ("a.mp4", "aac", "libx264"),
        ("a.mov", "pcm_s16le", "libx264"),
        ("a.mkv", "aac", "libx264"),
        ("a.webm", "libopus", "libvpx"),
        ("a.avi", "mp2", "mpeg4"),
        ("a.mpg", "mp2", "mpeg1video"),
        ("a.ts", "aac", "libx264"),
        ("a.flv", "aac", "libx264"),
        ("a.3gp", "aac", "libx264"),
        ("a.wmv", "libmp3lame", "mpeg4"),
        ("a.mxf", "pcm_s16le", "libx264"),
        ("a.nut", "aac", "libx264"),
        ("a.ogg", "libopus", None),
        ("a.opus", "libopus", None),
        ("a.oga", "flac", None),
        ("a.wav", "pcm_s16le", None),
        ("a.w64", "pcm_s16le", None),
        ("a.flac", "flac", None),
        ("a.mp3", "libmp3lame", None),
        ("a.m4a", "aac", None),
        ("a.aac", "aac", None),
        ("a.ac3", "ac3", None),
        ("a.caf", "pcm_s16be", None),
        ("a.aiff", "pcm_s16be", None),
        ("a.au", "pcm_s16be", None),
        ("a.wv", "wavpack", None),
        ("a.asf", "libmp3lame", None),
    ],
)
def test_files_that_hold_sound_open(tmp_path: Path, name: str, sound: str, pictures: str | None) -> None:
    path = write_media(
        tmp_path / name,
        sound=tone(1, 48_000),
        sample_rate=48_000,
        sound_codec=sound,
        times=None if pictures is None else TIMES,
        video_codec=pictures or "",
    )
    clip = probe(path)
    assert clip.audio.sample_rate == 48_000
    assert (clip.video is None) == (pictures is None)


def test_amr_opens(tmp_path: Path) -> None:
    """No encoder here makes AMR: frames of 12.2 kbit/s, which hold nothing."""
    (tmp_path / "a.amr").write_bytes(b"#!AMR\n" + (b"\x3c" + bytes(31)) * 50)
    clip = probe(tmp_path / "a.amr")
    assert (clip.audio.codec, clip.audio.sample_rate) == ("amrnb", 8_000)


def test_a_picture_is_told_to_have_no_sound(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for name in ("a.jpg", "a.png", "a.webp", "a.bmp", "a.tiff"):
        cv2.imwrite(str(tmp_path / name), np.zeros((16, 16, 3), np.uint8))
        with pytest.raises(InputError, match="no audio stream"):
            probe(tmp_path / name)


def test_every_name_of_the_list_is_a_demuxer() -> None:
    """One that FFmpeg does not know would be a slip, and hide that a kind of file no longer opens."""
    for name in ",".join(FORMATS).split(","):
        assert ContainerFormat(name, "r").is_input, name
    known = set(OPEN_OPTIONS["format_whitelist"].split(","))
    assert not known & {"concat", "hls", "dash", "imf", "image2", "image2pipe", "rtsp", "sdp", "rtp", "sap", "lavfi"}


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    for path, kind in ((tmp_path / "pipe.wav", "pipe"), (Path("/dev/zero"), "device"), (Path("/dev/null"), "device")):
        assert whole_seconds(path) is None
        for read in (probe, SoundReader):
            with pytest.raises(InputError, match=f"is a {kind}"):
                read(path)


def write_wav(path: Path) -> bytes:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(range(250)) * 128)
    return path.read_bytes()


def test_a_rate_that_no_recording_has_asks_for_no_memory(tmp_path: Path) -> None:
    data = bytearray(write_wav(tmp_path / "a.wav"))
    data[24:28] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    for read in (probe, SoundReader):
        with pytest.raises(InputError, match="2147483647 Hz"):
            read(tmp_path / "a.wav")


def test_channels_times_rate_are_bounded(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((10, 1000)), 96_000)
    with pytest.raises(InputError, match="1000 channel"):
        SoundReader(tmp_path / "a.wav")


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_is_too_long(tmp_path: Path, length: int) -> None:
    with pytest.raises(InputError, match="too long"):
        probe(tmp_path / ("a" * length + ".mp4"))


def test_a_response_of_a_room_with_a_rate_that_nothing_has(tmp_path: Path) -> None:
    from avsep.data.rooms import RecordedRooms

    data = bytearray(write_wav(tmp_path / "a.wav"))
    data[24:28] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputError, match="2147483647 Hz"):
        RecordedRooms(str(tmp_path)).prepare(1, 16_000)
