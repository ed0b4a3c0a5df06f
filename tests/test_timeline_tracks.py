"""tracks.mka and tracks.mp4, read back by PyAV."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from person_videos import shown
from result_factory import CLICKS, SECONDS, person, sound, time_line, write_result, write_video_result

from avsep.errors import OutputError
from avsep.timeline.tracks import write_mka, write_mp4

NAMES = ('Ann "A" <b>', "王 & عمر")


def titles(path: Path, key: str) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.metadata.get(key, "") for stream in container.streams.audio]


def codecs(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams]


def samples(path: Path, stream: int) -> tuple[np.ndarray, float]:
    """(time, channels) float64 and when they begin."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=stream))
    channels = frames[0].layout.nb_channels
    parts = [f.to_ndarray().reshape(-1, channels) if f.format.is_packed else f.to_ndarray().T for f in frames]
    whole = np.concatenate(parts)
    return whole / 2.0**31 if whole.dtype.kind == "i" else whole.astype(float), float(
        frames[0].pts * frames[0].time_base
    )


@pytest.mark.parametrize(
    ("rate", "channels", "level", "codec"),
    [
        (44_100, 2, 0.8, "flac"),
        (8_000, 6, 0.8, "flac"),
        (16_000, 1, 3.0, "pcm_f32le"),
        (192_000, 1, 0.8, "pcm_f32le"),
        (8_000, 10, 0.8, "pcm_f32le"),
    ],
)
def test_mka_has_every_track_without_loss(tmp_path, rate, channels, level, codec):
    tracks = [person(0, NAMES[0], kind="voice"), sound(0, "rain")]
    folder = write_result(tmp_path / "talk", tracks, rate=rate, channels=channels, level=level)
    done: list[float] = []
    line = time_line(folder)
    line.progress = lambda step, completed, total: done.append(completed)
    write_mka(line, tmp_path / "tracks.mka")
    assert titles(tmp_path / "tracks.mka", "title") == [NAMES[0], "rain", "residual"]
    written = codecs(tmp_path / "tracks.mka")
    assert written == [codec, codec, "flac" if level > 1 else codec], "only what is too loud for it is no FLAC"
    for number, lane in enumerate(line.lanes):
        found, begin = samples(tmp_path / "tracks.mka", number)
        wav, _ = soundfile.read(lane.audio, always_2d=True)
        assert begin == 0
        assert found.shape == wav.shape
        assert np.abs(found - wav).max() <= (2.0**-24 if written[number] == "flac" else 0)
    assert max(done) == SECONDS


@pytest.mark.parametrize(
    ("videos", "media", "start", "lead", "first"),
    [
        pytest.param(True, {"sound_start": 0.8}, None, 0.8, 0, id="of a person, picture first"),
        pytest.param(True, {}, 0.52, 0.0, 13, id="of a person, a span"),
        pytest.param(False, {"times": 0.8 + np.arange(60) / 25}, None, 0.0, 0, id="of the clip, sound first"),
        pytest.param(False, {"sound_start": 0.8}, None, 0.8, 0, id="of the clip, picture first"),
    ],
)
def test_mp4_has_every_track_in_step_with_the_picture(tmp_path, monkeypatch, videos, media, start, lead, first):
    """lead: seconds by which the pictures come before the sound. first: number of the first picture."""
    tracks = [person(0, NAMES[0]), person(1, NAMES[1])]
    folder = write_video_result(tmp_path / "talk", tracks, videos=videos, start=start, **media)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tracks.mp4"
    write_mp4(time_line(folder), path)
    assert codecs(path) == ["h264", "aac", "aac", "aac"]
    assert titles(path, "handler_name") == titles(path, "name") == [*NAMES, "residual"]
    for number, at in enumerate(CLICKS):
        found, begin = samples(path, number)
        assert begin + np.abs(found[:, 0]).argmax() / 16_000 == pytest.approx(lead + at, abs=0.012)
        assert len(found) / 16_000 == pytest.approx(lead + SECONDS, abs=0.1)
    pictures = shown(path)
    assert pictures[0] == (0.0, first)
    if videos:
        assert pictures == shown(folder / "speaker_00.mp4")


def test_sound_alone_makes_no_mp4(tmp_path):
    line = time_line(write_result(tmp_path / "talk", [person(0, kind="voice")]))
    write_mp4(line, tmp_path / "tracks.mp4")
    assert not (tmp_path / "tracks.mp4").exists()


@pytest.mark.parametrize("write", [write_mka, write_mp4])
def test_a_file_that_cannot_be_written(tmp_path, write):
    line = time_line(write_video_result(tmp_path / "talk", [person(0)]))
    with pytest.raises(OutputError, match=r"none/tracks: cannot be written \(No such file or directory\)"):
        write(line, tmp_path / "none" / "tracks")
