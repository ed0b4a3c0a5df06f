"""The sound as blocks on an unbroken time line."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from media_factory import damage, tone, write_media

from avsep.errors import InputError
from avsep.media.decode import ClipInfo, probe, read_audio

CLIPS = Path(__file__).parents[2] / "shared" / "clips"


def chirp(seconds: float, rate: int = 48_000) -> np.ndarray:
    """(1, time): a rising tone, alike at no two moments, and with no noise that a decoder would invent anew."""
    time = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * (200 * time + 150 * time**2)).astype(np.float32)[None]


def whole(clip: ClipInfo, warnings: list[str] | None = None) -> np.ndarray:
    """All samples (channels, time); checks on the way that the blocks are as promised."""
    blocks = list(read_audio(clip, pytest.fail if warnings is None else warnings.append))
    rate = clip.audio.sample_rate
    assert [b.start_seconds for b in blocks] == list(range(len(blocks)))
    assert all(b.samples.shape == (clip.audio.channels, rate) for b in blocks[:-1])
    assert 0 < blocks[-1].samples.shape[1] <= rate
    assert all(b.samples.dtype == np.float32 and b.sample_rate == rate for b in blocks)
    return np.concatenate([b.samples for b in blocks], axis=1)


@pytest.mark.parametrize(
    ("subtype", "channels", "rate", "error"),
    [
        ("PCM_U8", 1, 8_000, 1e-2),
        ("PCM_16", 2, 44_100, 1e-4),
        ("PCM_24", 6, 48_000, 1e-6),
        ("FLOAT", 2, 96_000, 0),
        ("DOUBLE", 1, 37_000, 1e-7),
        ("PCM_16", 10, 16_000, 1e-4),
        ("FLOAT", 3, 16_000, 0),
    ],
)
def test_wav_samples_are_exact(tmp_path: Path, subtype: str, channels: int, rate: int, error: float) -> None:
    sound = tone(2.3, rate, channels)
    soundfile.write(tmp_path / "a.wav", sound.T, rate, subtype=subtype)
    assert np.abs(whole(probe(tmp_path / "a.wav")) - sound).max() <= error


def test_samples_beyond_full_scale_are_kept(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 3 * tone(1)[0], 16_000, subtype="FLOAT")
    assert np.array_equal(whole(probe(tmp_path / "a.wav")), 3 * tone(1))


@pytest.mark.parametrize(("start", "end"), [(0.5, 1.75), (0, 0.4), (3.21, None), (4.999, 9)])
def test_a_span_is_exact(tmp_path: Path, start: float, end: float | None) -> None:
    sound = tone(5)
    path = write_media(tmp_path / "a.flac", sound=sound, sound_codec="flac")
    begin, stop = round(start * 16_000), None if end is None else round(end * 16_000)
    assert np.abs(whole(probe(path, start=start, end=end)) - sound[:, begin:stop]).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.avi", "ac3"), ("a.mp3", "libmp3lame"), ("a.mpg", "mp2")],
)
def test_a_span_of_packed_sound_is_the_same_part_of_the_whole(tmp_path: Path, name: str, codec: str) -> None:
    path = write_media(tmp_path / name, sound=chirp(5), sample_rate=48_000, sound_codec=codec)
    part = whole(probe(path, start=2.5, end=4))
    assert part.shape == (1, 72_000)
    everything = whole(probe(path))
    slack = 24 if name.endswith("mkv") else 0  # Matroska's time stamps are whole milliseconds
    shifts = [everything[:, 120_000 + by : 192_000 + by] for by in range(-slack, slack + 1)]
    assert min(np.abs(part - other).max() for other in shifts) < 0.02, "not settled, or the span is shifted"


def test_missing_sound_becomes_silence(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", sound=tone(3), sound_codec="pcm_s16le", sound_gap=(1.024, 0.75))
    warnings: list[str] = []
    samples = whole(probe(path), warnings)[0]
    assert len(samples) == round(3.75 * 16_000)
    begin, end = round(1.024 * 16_000), round(1.774 * 16_000)
    assert not samples[begin:end].any()
    assert np.abs(np.delete(samples, np.s_[begin:end]) - tone(3)[0]).max() < 1e-3
    assert len(warnings) == 1
    assert "0.75 s of missing sound were filled with silence, the first at 1.02 s" in warnings[0]


def test_jitter_of_time_stamps_is_ignored(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mkv", sound=tone(3), sound_codec="pcm_s16le", sound_gap=(1.024, 0.03))
    assert np.abs(whole(probe(path)) - tone(3)).max() < 1e-3


def test_sound_that_starts_late_starts_the_clock(tmp_path: Path) -> None:
    path = write_media(
        tmp_path / "a.mkv", sound=tone(2), sound_codec="pcm_s16le", sound_start=0.8, times=np.arange(75) / 25
    )
    clip = probe(path)
    assert clip.video is not None
    assert clip.video.start_seconds == pytest.approx(-0.8)
    assert np.abs(whole(clip) - tone(2)).max() < 1e-3


@pytest.mark.parametrize("scale", [32_768, 2**23])
def test_integers_stored_as_floats_are_sound(tmp_path: Path, scale: int) -> None:
    soundfile.write(tmp_path / "a.wav", scale * tone(1)[0], 16_000, subtype="FLOAT")
    assert np.array_equal(whole(probe(tmp_path / "a.wav")), scale * tone(1))


@pytest.mark.parametrize("bad", [1e25, -3e38, 2e7])
def test_values_beyond_any_sound(tmp_path: Path, bad: float) -> None:
    sound = tone(3, channels=2)
    sound[1, 20_000] = bad
    soundfile.write(tmp_path / "a.wav", sound.T, 16_000, subtype="FLOAT")
    told = rf"a sample of {re.escape(f'{abs(bad):.3g}')} times full scale \(at most 1e\+07 .*first at 1\.250 s.*--start"
    with pytest.raises(InputError, match=told):
        whole(probe(tmp_path / "a.wav"))
    assert whole(probe(tmp_path / "a.wav", start=2)).shape == (2, 16_000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    sound = tone(3, channels=2)
    sound[1, 20_000] = bad
    soundfile.write(tmp_path / "a.wav", sound.T, 16_000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"NaN or infinity.*first at 1\.250 s"):
        whole(probe(tmp_path / "a.wav"))
    with pytest.raises(InputError, match=r"first at 1\.250 s"):
        whole(probe(tmp_path / "a.wav", start=1))
    assert whole(probe(tmp_path / "a.wav", start=2)).shape == (2, 16_000)


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.mp4", sound=chirp(6), sample_rate=48_000)
    before = whole(probe(path))
    warnings: list[str] = []
    after = whole(probe(damage(path, 0.45, 0.05)), warnings)
    assert after.shape == before.shape
    third = before.shape[1] // 3
    assert np.array_equal(after[:, :third], before[:, :third])
    assert np.abs(after[:, -third:] - before[:, -third:]).max() < 0.02, "the time line did not hold"
    assert not np.array_equal(after, before)
    assert any("damaged" in w or "missing" in w for w in warnings)
    assert len(warnings) <= 2


def test_a_cut_off_file_is_told(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.wav", sound=tone(4), sound_codec="pcm_s16le")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = probe(path)
    assert whole(clip, []).shape[1] == pytest.approx(32_000, abs=100)


def test_the_first_rate_and_layout_hold(tmp_path: Path) -> None:
    first = write_media(tmp_path / "1.ts", sound=tone(2))
    second = write_media(tmp_path / "2.ts", sound=tone(2, 24_000, 2), sample_rate=24_000, sound_start=2)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    clip = probe(both)
    assert (clip.audio.sample_rate, clip.audio.channels) == (16_000, 1)
    samples = whole(clip, [])
    assert samples.shape[1] / 16_000 == pytest.approx(4.1, abs=0.15)
    spectrum = np.abs(np.fft.rfft(samples[0, 40_000:56_000]))
    assert spectrum.argmax() == 440, "the second part is not at the first part's rate"


def _clips() -> list[Path]:
    names = ("edge/*.mp4", "edge/*.mov", "overlap/*", "noise/*", "single/mead*.mp4", "single/presenter*", "grid/b*.mpg")
    return [p for name in names for p in sorted(CLIPS.glob(name)) if p.name != "no_audio_stream.mp4"]


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.exists(), reason="the real clips are not here")
def test_real_clips_keep_every_sample() -> None:
    for path in _clips():
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        first = float(frames[0].pts * frames[0].time_base)
        clip = probe(path)
        assert clip.origin_seconds == pytest.approx(first, abs=1e-9), path.name
        assert whole(clip).shape[1] == sum(f.samples for f in frames), path.name
        assert clip.duration_seconds * clip.audio.sample_rate == pytest.approx(
            sum(f.samples for f in frames), abs=2048
        ), path.name
