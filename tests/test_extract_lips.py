"""preprocessing.extract_lips: a folder of videos to mouths and sound."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from media_factory import tone, write_media

from avsep.signals import LIP_SIZE, SAMPLE_RATE
from preprocessing import extract_lips


def test_help_tells_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        extract_lips.main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "manifest.tsv" in shown
    assert "--overwrite" in shown


@pytest.mark.parametrize("make", [False, True])
def test_no_folder_or_no_videos_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: bool
) -> None:
    source = tmp_path / "videos"
    if make:
        source.mkdir()
    assert extract_lips.main([str(source), str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert str(source) in message
    assert not (tmp_path / "out").exists()


def test_videos_without_a_face_are_skipped_with_a_reason(tmp_path: Path) -> None:
    source, out = tmp_path / "videos", tmp_path / "out"
    source.mkdir()
    (source / "text.mp4").write_text("no video")
    write_media(source / "blank.mp4", times=[k / 25 for k in range(10)], sound=tone(0.4))
    assert extract_lips.extract_folder(source, out) == (0, 2)
    skipped = (out / "skipped.tsv").read_text().splitlines()
    assert skipped[0] == "video\treason"
    assert [line.split("\t")[0] for line in skipped[1:]] == ["blank.mp4", "text.mp4"]
    assert "no face" in skipped[1]
    assert (out / "manifest.tsv").read_text().splitlines() == ["\t".join(extract_lips.COLUMNS)]


def test_a_real_talker_gives_mouths_and_sound_on_one_clock(shared: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "videos" / "s1", tmp_path / "out"
    source.mkdir(parents=True)
    shutil.copy(shared / "clips" / "grid" / "s1" / "bbaf3s.mpg", source)
    assert extract_lips.extract_folder(source.parent, out) == (1, 0)
    row = dict(zip(*(line.split("\t") for line in (out / "manifest.tsv").read_text().splitlines()), strict=True))
    assert row["video"] == "s1/bbaf3s.mpg"
    with np.load(out / row["lips"]) as arrays:
        lips, quality, first, audio = (arrays[name] for name in ("lips", "quality", "first", "audio"))
    assert lips.shape == (int(row["frames"]), LIP_SIZE, LIP_SIZE)
    assert lips.dtype == np.uint8
    assert quality.shape == (len(lips),)
    assert quality.min() > 0.9
    assert int(first) == int(row["first"]) == 0
    assert audio.dtype == np.int16
    assert len(audio) == int(row["samples"])
    assert len(audio) / SAMPLE_RATE == pytest.approx(len(lips) / 25, abs=0.1)
    assert np.abs(audio.astype(float)).max() > 500

    written = (out / row["lips"]).stat().st_mtime_ns
    assert extract_lips.extract_folder(source.parent, out) == (1, 0)
    assert (out / row["lips"]).stat().st_mtime_ns == written, "what was there was made again"
    assert extract_lips.extract_folder(source.parent, out, overwrite=True) == (1, 0)
    assert (out / row["lips"]).stat().st_mtime_ns != written
    assert not list(out.rglob("*.partial"))
