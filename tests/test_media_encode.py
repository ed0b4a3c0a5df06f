"""WAV, JPEG and the video of one person."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_factory import numbered_picture, picture_number, tone, write_media

from avsep.errors import OutputError
from avsep.media import encode
from avsep.media.decode import ClipInfo, picture_at, probe
from avsep.media.encode import PersonVideo, WavWriter, write_jpeg, write_person_videos
from avsep.signals import FaceTrack, LipClip, Person
from avsep.storage.spool import Spool


def test_wav_keeps_every_bit(tmp_path: Path) -> None:
    sound = 2 * tone(1.7, 37_000, 6)
    with WavWriter(tmp_path / "a.wav", 37_000, 6) as writer:
        for at in range(0, sound.shape[1], 10_000):
            writer.write(sound[:, at : at + 10_000])
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    info = soundfile.info(tmp_path / "a.wav")
    assert (rate, info.format, info.subtype) == (37_000, "WAV", "FLOAT")
    assert np.array_equal(samples.T, sound)
    with pytest.raises(ValueError, match=r"\(6, time\), got shape \(2, 5\)"):
        WavWriter(tmp_path / "b.wav", 8_000, 6).write(np.zeros((2, 5), np.float32))


def test_wav_without_samples(tmp_path: Path) -> None:
    WavWriter(tmp_path / "a.wav", 16_000, 2).close()
    assert soundfile.info(tmp_path / "a.wav").frames == 0


def test_a_large_wav_becomes_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_LARGEST_WAV", 100_000)
    sound = tone(4, channels=2)
    with WavWriter(tmp_path / "a.wav", 16_000, 2) as writer:
        for at in range(0, sound.shape[1], 5_000):
            writer.write(sound[:, at : at + 5_000])
    assert (tmp_path / "a.wav").read_bytes()[:4] == b"RF64"
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert np.array_equal(samples.T, sound)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    assert probe(tmp_path / "a.wav").duration_seconds == 4


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"none/a\.wav: cannot be written"):
        WavWriter(tmp_path / "none" / "a.wav", 16_000, 1)
    with pytest.raises(OutputError, match=r"none/a\.jpg: cannot be written"):
        write_jpeg(tmp_path / "none" / "a.jpg", numbered_picture(1))


_WRITE_WITH_LITTLE_ROOM = """
import resource, signal, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from avsep.errors import OutputError
from avsep.media.encode import WavWriter, write_jpeg, write_person_videos, PersonVideo
from avsep.media.decode import probe
folder, what = Path(sys.argv[1]), sys.argv[2]
if what == "mp4":
    from avsep.signals import Person
    clip = probe(folder / "in.mkv")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    if what == "wav":
        with WavWriter(folder / "a.wav", 16_000, 1) as writer:
            for _ in range(100):
                writer.write(np.zeros((1, 1000), np.float32))
    elif what == "jpg":
        write_jpeg(folder / "a.jpg", np.random.default_rng(0).integers(0, 255, (500, 500, 3), np.uint8))
    else:
        write_person_videos(clip, [PersonVideo(folder / "a.mp4", Person(()), folder / "in.wav")], print)
except OutputError as error:
    print("told:", error)
else:
    print("silent")
"""


@pytest.mark.parametrize("what", ["wav", "jpg", "mp4"])
def test_a_full_disk_is_told(tmp_path: Path, what: str) -> None:
    """A limit on the size of files stands in for a full disk: the system refuses the write in the same way."""
    if what == "mp4":
        busy = np.random.default_rng(0).integers(0, 255, (50, 120, 160, 3), np.uint8)
        write_media(tmp_path / "in.mkv", sound=tone(2), times=np.arange(50) / 25, draw=lambda n, w, h: busy[n])
        soundfile.write(tmp_path / "in.wav", tone(2)[0], 16_000)
    arguments = [sys.executable, "-c", _WRITE_WITH_LITTLE_ROOM, str(tmp_path), what, str(Path(__file__).parent)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"told: {tmp_path / 'a'}.{what}: cannot be written"), done.stdout


def test_jpeg(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    picture = numbered_picture(77)
    picture[100:, :] = [250, 120, 10]
    write_jpeg(tmp_path / "a.jpg", picture)
    back = cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]
    assert back.shape == picture.shape
    assert np.abs(back[110].mean(axis=0) - [250, 120, 10]).max() < 8, "colours are swapped"
    assert picture_number(back[..., 1]) == 77


def person(first: int, frames: int, box: tuple[float, float, float, float]) -> Person:
    track = FaceTrack(
        first=first,
        boxes=np.tile(np.array(box, np.float32), (frames, 1)),
        landmarks=np.zeros((frames, 5, 2), np.float32),
        confidence=np.ones(frames, np.float32),
        portraits=np.zeros((0, 160, 160, 3), np.uint8),
        best=first,
        lips=LipClip(Spool(None, (96, 96), np.uint8), np.zeros(frames, np.float32), first),
    )
    return Person((track,))


def make_video(clip: ClipInfo, folder: Path, who: Person, sound: np.ndarray, rate: int) -> Path:
    with WavWriter(folder / "voice.wav", rate, len(sound)) as writer:
        writer.write(sound)
    write_person_videos(clip, [PersonVideo(folder / "out.mp4", who, folder / "voice.wav")], pytest.fail)
    return folder / "out.mp4"


def shown(path: Path) -> list[tuple[float, int]]:
    """Times and numbers of the pictures of a file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [(float(f.pts * f.time_base), picture_number(f.to_ndarray(format="gray"))) for f in frames]


def heard(path: Path) -> tuple[float, np.ndarray, int]:
    """Start, samples (channels, time) and rate of a file's sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    start = float(frames[0].pts * frames[0].time_base)
    return start, np.concatenate([f.to_ndarray() for f in frames], axis=1), frames[0].sample_rate


TIMES = np.array([0, 0.04, 0.1, 0.11, 0.5, *(0.6 + np.arange(60) / 30)])


def test_a_person_video_plays_in_a_browser(tmp_path: Path) -> None:
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(3), sound_codec="pcm_s16le", times=TIMES, size=(162, 122)))
    path = make_video(clip, tmp_path, person(10, 20, (20, 70, 60, 110)), tone(3, 44_100, 2), 44_100)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt, video.width, video.height) == ("h264", "yuv420p", 162, 122)
        assert (audio.codec_context.name, audio.sample_rate, audio.channels) == ("aac", 44_100, 2)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat"), "a browser could not start before the whole file is there"


def test_pictures_keep_their_times(tmp_path: Path) -> None:
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(3), sound_codec="pcm_s16le", times=TIMES))
    pictures = shown(make_video(clip, tmp_path, person(0, 9, (20, 70, 60, 110)), tone(3), 16_000))
    assert [n for _, n in pictures] == list(range(len(TIMES)))
    assert np.abs(np.array([t for t, _ in pictures]) - TIMES).max() < 0.0011


def test_the_face_is_marked_while_on_screen(tmp_path: Path) -> None:
    times = np.arange(50) / 25
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(2), sound_codec="pcm_s16le", times=times))
    video = probe(make_video(clip, tmp_path, person(10, 20, (20, 70, 60, 110)), tone(2), 16_000))
    for grid in (0, 9, 10, 20, 29, 31, 49):
        picture = picture_at(video, grid / 25).astype(int)
        yellow = (picture[..., 0] > 150) & (picture[..., 1] > 150) & (picture[..., 2] < 90)
        if 10 <= grid < 30:
            rows, columns = np.nonzero(yellow)
            assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((70, 109, 20, 59), abs=1)
            assert yellow.mean() < 0.03, "more than a thin line"
        else:
            assert not yellow.any(), grid


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
    start, samples, found = heard(make_video(clip, tmp_path, person(0, 9, (20, 70, 60, 110)), sound, rate))
    assert (start, found, len(samples)) == (0, *written)
    assert samples.shape[1] / found == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[0, found // 4 : found // 4 + found]))
    assert spectrum.argmax() == 440


def click(seconds: float, at: float, rate: int = 16_000) -> np.ndarray:
    """(1, time): silence but for a burst of 10 ms."""
    sound = np.zeros((1, round(seconds * rate)), np.float32)
    sound[:, round(at * rate) : round((at + 0.01) * rate)] = 0.8 * tone(0.01, rate, frequency=2000)
    return sound


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
    tmp_path: Path, options: dict, start: float | None, click_at: float, picture: int, expected: float
) -> None:
    """A click in the wav is heard when the picture of that moment is seen."""
    options = {"times": np.arange(75) / 25, **options}
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(3), sound_codec="pcm_s16le", **options), start=start)
    path = make_video(clip, tmp_path, person(0, 9, (20, 70, 60, 110)), click(2, click_at), 16_000)
    begin, samples, rate = heard(path)
    heard_at = begin + np.abs(samples[0]).argmax() / rate
    assert heard_at == pytest.approx(expected, abs=0.012)
    pictures = shown(path)
    assert pictures[0][0] == 0
    assert max(number for seconds, number in pictures if seconds <= expected + 0.0015) == picture


def test_rotated_pictures_are_written_upright(tmp_path: Path) -> None:
    def turned(number: int, width: int, height: int) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(numbered_picture(number, height, width), 1))

    source = write_media(tmp_path / "in.mp4", sound=tone(1), times=np.arange(25) / 25, draw=turned, rotation=-90)
    clip = probe(source)
    assert clip.video is not None
    path = make_video(clip, tmp_path, person(0, 25, (20, 90, 60, 130)), tone(1), 16_000)
    assert [n for _, n in shown(path)] == list(range(25))
    video = probe(path).video
    assert video is not None
    assert (video.width, video.height, video.rotation) == (120, 160, 0)


@pytest.mark.parametrize("rotation", [0, 90])
def test_pixels_that_are_not_square(tmp_path: Path, rotation: int) -> None:
    wide = {"pixel_aspect": Fraction(64, 45), "rotation": rotation}
    clip = probe(write_media(tmp_path / "in.mp4", sound=tone(1), times=np.arange(25) / 25, **wide))
    with av.open(str(make_video(clip, tmp_path, person(0, 25, (20, 70, 60, 110)), tone(1), 16_000))) as container:
        assert container.streams.video[0].sample_aspect_ratio == (Fraction(45, 64) if rotation else Fraction(64, 45))


def test_one_decode_serves_all_people(tmp_path: Path) -> None:
    clip = probe(write_media(tmp_path / "in.mkv", sound=tone(2), times=np.arange(50) / 25))
    jobs = []
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", tone(2, frequency=300 * (i + 1))[0], 16_000)
        jobs.append(
            PersonVideo(
                tmp_path / f"{i}.mp4", person(0, 50, (10 + 40 * i, 70, 40 + 40 * i, 110)), tmp_path / f"{i}.wav"
            )
        )
    calls: list[tuple[str, float, float]] = []
    write_person_videos(clip, jobs, pytest.fail, lambda *call: calls.append(call))
    assert {step for step, _, _ in calls} == {"video"}
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert calls[-1][1] == calls[-1][2] == pytest.approx(2, abs=0.05)
    for i in range(3):
        _, samples, rate = heard(tmp_path / f"{i}.mp4")
        assert np.abs(np.fft.rfft(samples[0, :rate])).argmax() == 300 * (i + 1)
        assert len(shown(tmp_path / f"{i}.mp4")) == 50


def test_sound_files_without_pictures_write_nothing(tmp_path: Path) -> None:
    clip = probe(write_media(tmp_path / "a.wav", sound=tone(1), sound_codec="pcm_s16le"))
    write_person_videos(clip, [PersonVideo(tmp_path / "a.mp4", Person(()), tmp_path / "a.wav")], pytest.fail)
    assert sorted(os.listdir(tmp_path)) == ["a.wav"]
