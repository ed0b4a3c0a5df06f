"""WAV and JPEG files, and places that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_factory import numbered_picture, picture_number, tone, write_media

from avsep.errors import OutputError
from avsep.media import encode
from avsep.media.decode import probe
from avsep.media.encode import WavWriter, write_jpeg
from avsep.media.mp4 import playable_gain


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


def test_a_wav_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.wav"
    with WavWriter(path, 16_000, 1) as writer:
        writer.write(np.ones((1, 3), np.float32))
    assert playable_gain([path]) == 1.0
    assert soundfile.info(os.fsencode(path)).frames == 3


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


@pytest.mark.slow
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
