"""Talking portraits from a drawn face and a made-up voice: no optional package, no speech synthesiser."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from avsep.data.manifest import read_manifest
from avsep.errors import InputError, UsageError
from avsep.signals import FRAME_RATE, SAMPLE_RATE
from preprocessing import animate_portraits, make_demo
from preprocessing.animate_portraits import Portrait, animate_all, choose, put_in_frame
from preprocessing.corpus import Sound
from preprocessing.portraits import stock
from preprocessing.portraits.motion import Motion, animate, frames_for, mouth_motion
from preprocessing.portraits.outline import find_lips
from preprocessing.portraits.puppet import Puppet
from preprocessing.portraits.style import Style, random_style

av = pytest.importorskip("av")

LANDMARKS = np.array([[120.0, 130], [200, 130], [160, 175], [130, 210], [190, 210]])
SKIN, LIP = (205, 165, 145), (175, 85, 85)
STILL = Style(sway=0.0, blinks=0.0, flicker=0.0)


def draw_arcs(picture: np.ndarray, half: int, upper: float, lower: float, colour: tuple[int, int, int]) -> None:
    """Fill what lies between two arcs that meet at the corners of the mouth, `upper` and `lower` deep."""
    x = np.linspace(-half, half, 41)
    bow = 1 - (x / half) ** 2
    edge = np.concatenate([np.stack([x, upper * bow], 1), np.stack([x, lower * bow], 1)[::-1]])
    cv2.fillPoly(picture, [np.round((edge + np.array([160, 210])) * 16).astype(np.int32)], colour, cv2.LINE_AA, shift=4)


def draw_face(smile: bool = False) -> np.ndarray:
    """320x320 RGB: an oval face with eyes and red lips, closed or open over teeth."""
    picture = np.full((320, 320, 3), (90, 120, 150), np.uint8)
    cv2.ellipse(picture, (160, 160), (85, 120), 0, 0, 360, SKIN, -1, cv2.LINE_AA)
    for x in (120, 200):
        cv2.ellipse(picture, (x, 130), (14, 7), 0, 0, 360, (245, 245, 245), -1, cv2.LINE_AA)
        cv2.circle(picture, (x, 130), 6, (60, 40, 30), -1, cv2.LINE_AA)
    if smile:
        draw_arcs(picture, 33, -6, 24, LIP)
        draw_arcs(picture, 28, 3, 15, (235, 230, 220))
    else:
        cv2.ellipse(picture, (160, 210), (32, 10), 0, 0, 360, LIP, -1, cv2.LINE_AA)
        cv2.line(picture, (131, 210), (189, 210), (95, 40, 40), 2, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), 0.8)


def vowels(seconds: float, rate: int = SAMPLE_RATE, formants: tuple[float, float] = (700, 1200)) -> np.ndarray:
    """A buzz shaped by two formants, a syllable of 0.3 s then 0.2 s of silence, over and over."""
    times = np.arange(round(seconds * rate)) / rate
    voice = np.zeros_like(times)
    for harmonic in range(1, 30):
        hertz = 120 * harmonic
        size = sum(1 / (1 + ((hertz - f) / 90) ** 2) for f in formants)
        voice += size * np.sin(2 * np.pi * hertz * times)
    voice *= np.clip(np.sin(np.pi * (times % 0.5) / 0.3), 0, None) * (times % 0.5 < 0.3)
    return (0.3 * voice / np.abs(voice).max()).astype(np.float32)


def mouth_gap(picture: np.ndarray) -> float:
    """Height in pixels of what is neither skin nor lip in the columns at the middle of the mouth."""
    lips = picture[195:260, 150:171].astype(float)
    dark = lips[..., 0] < 140
    teeth = lips[..., 0] - lips[..., 2] < 35
    return float((dark | teeth).sum(0).mean())


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return Portrait("drawn", draw_face(), LANDMARKS)


DRAWN = Path("drawn.png")


@pytest.fixture
def drawn(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is read as the portrait."""
    monkeypatch.setattr(animate_portraits, "_loaded", {DRAWN: portrait}.__getitem__)
    return DRAWN


@pytest.mark.parametrize("smile", [False, True])
def test_lips_are_found_where_they_are_drawn(smile: bool) -> None:
    lips = find_lips(draw_face(smile), LANDMARKS)
    assert np.abs(lips.centre - [160, 210]).max() < 4
    assert 20 < lips.half_width < 36
    drawn_gap = 12 if smile else 0
    assert lips.gap * lips.half_width == pytest.approx(drawn_gap, abs=3)


def test_the_mouth_follows_the_envelope_without_lag() -> None:
    speech = vowels(4.0)
    opening, _ = mouth_motion(speech, STILL)
    at = np.arange(len(opening)) * SAMPLE_RATE // FRAME_RATE
    envelope = np.sqrt(np.convolve(speech**2, np.ones(640) / 640, "same"))[at]
    lags = range(-4, 5)
    correlation = [np.corrcoef(np.roll(opening, -lag)[8:-8], envelope[8:-8])[0, 1] for lag in lags]
    assert max(correlation) > 0.85
    assert abs(lags[int(np.argmax(correlation))]) <= 1


def test_pauses_and_silence_close_the_mouth() -> None:
    opening, width = mouth_motion(np.concatenate([vowels(1.0), np.zeros(SAMPLE_RATE, np.float32)]), STILL)
    assert opening[:25].max() > 0.6
    assert opening[28:].max() == 0
    for silence in (np.zeros(SAMPLE_RATE, np.float32), np.full(SAMPLE_RATE, 1e-7, np.float32)):
        opening, width = mouth_motion(silence, STILL)
        assert not opening.any()
        assert not width.any()


def test_nasals_open_less_and_front_vowels_are_wider() -> None:
    speech = np.concatenate(
        [
            vowels(2.0),
            vowels(2.0, formants=(150, 250)),
            vowels(2.0, formants=(350, 2400)),
            vowels(2.0, formants=(400, 800)),
        ]
    )
    opening, width = mouth_motion(speech, STILL)
    a, m, i, u = (slice(n * 50, n * 50 + 50) for n in range(4))
    assert opening[a].max() > 2 * opening[m].max()
    assert width[i].max() > 0.3
    assert width[u].min() < width[i].max() - 0.5


def test_a_larger_opening_shows_more_of_the_mouth(portrait: Portrait) -> None:
    for smile in (False, True):
        puppet = Puppet(draw_face(smile), LANDMARKS)
        gaps = [mouth_gap(puppet.pose(opening, 0.0)) for opening in (0.0, 0.25, 0.5, 0.75, 1.0)]
        assert gaps[0] < 3.5
        assert np.all(np.diff(gaps) > 0.5), gaps
        assert gaps[-1] > 8


def test_only_the_lower_face_moves_and_no_tears_appear(portrait: Portrait) -> None:
    puppet = Puppet(portrait.picture, portrait.landmarks)
    closed, opened = puppet.pose(0.0, 0.0).astype(int), puppet.pose(1.0, 0.6).astype(int)
    assert np.abs(opened[:150] - closed[:150]).max() <= 1
    assert np.abs(opened[:, :60] - closed[:, :60]).max() <= 1
    # Beside the mouth the skin stays even: a tear would be a step.
    cheek = opened[200:232, 106:120].astype(float)
    assert np.abs(np.diff(cheek, axis=0)).max() < 12


def test_eyes_close_and_the_head_moves(portrait: Portrait) -> None:
    puppet = Puppet(portrait.picture, portrait.landmarks)
    assert puppet.pose(0, 0)[130, 120].max() < 110
    assert puppet.pose(0, 0, lids=1.0)[130, 120].min() > 110
    moved = puppet.pose(0, 0, head=np.array([0.1, 0, 0, 0]))
    assert moved[130, 128].max() < 110
    assert (moved[:, :4] == portrait.picture[:, :4]).mean() > 0.9


def test_same_seed_same_pictures_and_another_seed_others(portrait: Portrait) -> None:
    def film(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        style = random_style(rng)
        puppet = Puppet(*put_in_frame(portrait, style))
        motion = animate(vowels(0.6), style, rng)
        return np.stack(list(puppet.render(motion, style, rng)))

    first, again, other = film(3), film(3), film(4)
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_motion_covers_the_sound() -> None:
    for samples in (1, 639, 640, 641, 16000, 16001):
        motion = animate(np.zeros(samples, np.float32), Style(), np.random.default_rng(0))
        assert isinstance(motion, Motion)
        assert len(motion) == frames_for(samples) == -(-samples // 640)
        assert motion.head.shape == (len(motion), 4)


def write_recordings(folder: Path) -> list[Sound]:
    folder.mkdir()
    soundfile.write(folder / "a.wav", vowels(1.3, 22050), 22050)
    soundfile.write(folder / "b.wav", np.zeros(100, np.float32), 16000)
    (folder / "c.wav").write_text("no sound")
    return animate_portraits.find_recordings([folder])


@pytest.mark.slow
def test_clips_have_the_sound_s_length_and_resume(tmp_path: Path, drawn: Path) -> None:
    recordings = write_recordings(tmp_path / "speech")
    out = tmp_path / "out"
    written, skipped = animate_all([drawn], recordings, out, count=4, seed=5, lips=False)
    assert (written, skipped) == (2, 2)
    clips = sorted(out.glob("*.mp4"))
    assert [clip.name for clip in clips] == ["000000_drawn_a.mp4", "000003_drawn_a.mp4"]
    reasons = (out / "skipped.tsv").read_text()
    assert "b.wav lasts 0.01 s" in reasons
    assert "c.wav: holds text, not sound" in reasons
    assert not list(out.glob(".*"))
    with av.open(str(clips[0])) as container:
        assert container.streams.video[0].codec.name == "h264"
        pictures = sum(1 for _ in container.decode(video=0))
    with av.open(str(clips[0])) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert pictures == 33
    assert len(sound) / 48000 == pytest.approx(1.3, abs=0.03)
    stamp = clips[0].stat().st_mtime_ns
    kept = clips[1].read_bytes()
    clips[1].unlink()
    animate_all([drawn], recordings, out, count=4, seed=5, lips=False)
    assert clips[0].stat().st_mtime_ns == stamp
    assert clips[1].read_bytes() == kept
    animate_all([drawn], recordings, out, count=4, seed=5, lips=False, seconds=0.8)
    with av.open(str(clips[1])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 20, "other options"


@pytest.mark.slow
def test_clips_end_in_a_manifest(tmp_path: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = write_recordings(tmp_path / "speech")[:1]
    read: list[Path] = []

    def see(video: Path, *args: object, **options: object) -> dict[str, np.ndarray]:
        read.append(video)
        return {"lips": np.zeros((33, 96, 96), np.uint8), "audio": np.zeros(20800, np.int16), "first": np.array(0)}

    monkeypatch.setattr("preprocessing.faces_corpus.read_talker", see)
    monkeypatch.setattr("preprocessing.faces_corpus.MtcnnDetector", lambda device: None)
    out = tmp_path / "out"
    for _ in range(2):
        assert animate_all([drawn], recordings, out, count=1) == (1, 0)
    assert read == [out / "000000_drawn_a.mp4"]
    (row,) = read_manifest(out / "manifest.tsv")
    assert (row.id, row.speaker, row.seconds) == ("000000_drawn_a", "speech", 1.3)
    assert (row.audio, row.lips) == (out / "000000_drawn_a.flac", out / "000000_drawn_a.npz")


def test_recordings_of_a_manifest_keep_speaker_and_split(tmp_path: Path) -> None:
    write_recordings(tmp_path / "speech")
    table = tmp_path / "speech" / "manifest.tsv"
    table.write_text("path\tspeaker\tsplit\na.wav\tanna\tdev\n")
    for given in (tmp_path / "speech", table):
        (sound,) = animate_portraits.find_recordings([given])
        assert (sound.speaker, sound.split, sound.file.name) == ("anna", "dev", "a.wav")


def test_few_clips_have_many_speakers() -> None:
    recordings = [Sound(f"{who}{n}", Path(f"{who}{n}.flac"), who, "train") for who in "ab" for n in range(3)]
    assert [film.recording.id for film in choose([DRAWN], recordings, 4)] == ["a0", "b0", "a1", "b1"]


def test_a_failure_leaves_no_partial_file(tmp_path: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = write_recordings(tmp_path / "speech")[:1]

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Puppet, "pose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        animate_all([drawn], recordings, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["jobs.jsonl"]


@pytest.mark.slow
def test_messages_for_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = tmp_path / "a.wav"
    soundfile.write(speech, vowels(1.0), SAMPLE_RATE)
    empty = tmp_path / "empty"
    empty.mkdir()
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((200, 200, 3), 128, np.uint8))
    out = str(tmp_path / "out")
    for arguments, code, message in [
        (["--speech", str(tmp_path / "none")], 2, "no such file or folder"),
        (["--speech", str(empty)], 2, "no sound files"),
        (["--speech", str(speech), "--count", "0"], 2, "--count 0: give 1 or more"),
        (["--speech", str(speech), "--portrait", str(tmp_path / "none.png")], 1, "no picture at"),
        (["--speech", str(speech), "--portrait", str(speech)], 1, "as a picture"),
        (["--speech", str(speech), "--portrait", str(blank)], 1, "no face in"),
    ]:
        assert animate_portraits.main([*arguments, "--out", out]) == code
        assert message in capsys.readouterr().err
    assert not Path(out).exists()


def test_missing_packages_and_programs_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(
            UsageError, match=r"scikit-image, which is not installed: pip install \"avsep\[portraits\]\""
        ):
            stock.stock_picture("astronaut")
        assert make_demo.main([str(tmp_path / "demo")]) == 2
        assert "matplotlib" in capsys.readouterr().err
    monkeypatch.setattr(stock.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="apt-get install flite"):
        stock.speak("hello", "slt")
    assert not (tmp_path / "demo").exists()


def test_a_tiny_face_is_refused() -> None:
    with pytest.raises(InputError, match="too small: 8 pixels between the eyes, at least 12"):
        find_lips(draw_face(), LANDMARKS / 10)


def test_bundled_demo_is_what_it_says() -> None:
    folder = Path(make_demo.__file__).parents[1] / "avsep" / "assets" / "demo"
    files = {path.name for path in folder.iterdir()}
    assert {"demo.mp4", "left.flac", "right.flac", "SOURCES.txt"} <= files
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
    voices = []
    for name in ("left", "right"):
        voice, rate = soundfile.read(folder / f"{name}.flac", dtype="float32")
        assert rate == SAMPLE_RATE
        voices.append(voice)
    levels = [20 * np.log10(np.sqrt(np.mean(v[np.abs(v) > 0.01] ** 2))) for v in voices]
    assert abs(levels[0] - levels[1]) < 1
    with av.open(str(folder / "demo.mp4")) as container:
        video = container.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (1280, 720, 25)
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])[::3]
    mixture = voices[0] + voices[1]
    sound = sound[: len(mixture)]
    error = np.sum((sound - mixture) ** 2) / np.sum(mixture**2)
    assert 10 * np.log10(error) < -20
