"""Corpora recorded with arrays, from miniature folders as they are published: every microphone is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, noise, rows_by_id, skipped, specs_by_id, write_sound

from avsep.data.lists import FixedMixtures, render
from avsep.data.published import PublishedMixtures
from avsep.errors import InputError
from preprocessing import chime, sms_wsj

RATE = 8_000
NAME = "0_4axc0218_01kc020f"


def write(file: Path, samples: np.ndarray) -> None:
    """(time,) or (time, channels)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, RATE, subtype="FLOAT")


def make_sms_wsj(folder: Path, everything: bool = True) -> dict[str, np.ndarray]:
    """One mixture of train and dev each; the signals (0.4 s, 6 microphones) of that of dev, with keys as its files."""
    signals: dict[str, np.ndarray] = {}
    for split in ("train_si284", "cv_dev93"):
        total = np.zeros((3200, 6), np.float32)
        for seed, kind in enumerate(("early", "tail")):
            for n in range(2):
                signals[f"{kind}_{n}"] = noise(0.4, RATE, 6, seed=2 * seed + n) / (1 + 4 * seed)
                total += signals[f"{kind}_{n}"]
                if everything:
                    write(folder / kind / split / f"{NAME}_{n}.wav", signals[f"{kind}_{n}"])
        signals["noise"] = noise(0.4, RATE, 6, seed=9) / 20
        signals["observation"] = total + signals["noise"]
        if everything:
            write(folder / "noise" / split / f"{NAME}.wav", signals["noise"])
        write(folder / "observation" / split / f"{NAME}.wav", signals["observation"])
        for n in range(2):
            signals[f"speech_source_{n}"] = noise(0.4, RATE, seed=20 + n)
            write(folder / "speech_source" / split / f"{NAME}_{n}.wav", signals[f"speech_source_{n}"])
    return signals


def test_sms_wsj_becomes_lists_of_early_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "sms_wsj", tmp_path / "out"
    signals = make_sms_wsj(source)
    assert sms_wsj.main([str(source), str(out), "--workers", "1"]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["dev.tsv", "jobs.jsonl", "skipped.tsv", "train.tsv"]
    spec = specs_by_id(out / "dev.tsv")[NAME]
    assert [part.speaker for part in spec.voices] == ["4ax", "01k"]
    mixture, sources = render(spec, RATE, 6)
    assert np.allclose(mixture, signals["observation"].T, atol=1e-6)
    assert np.allclose(sources, [signals[f"early_{n}"].T for n in range(2)], atol=1e-6)
    item = FixedMixtures(out / "train.tsv", sample_rate=RATE, channels=6)[0]
    assert item["sources"].shape == (2, 6, 3200)  # type: ignore[union-attr]

    write(source / "observation" / "cv_dev93" / f"{NAME}.wav", signals["observation"] / 2)
    assert "from the sum of" in fails(sms_wsj.main, capsys, source, tmp_path / "other")
    assert "expected folders observation, early, tail, noise" in fails(sms_wsj.main, capsys, source / "early", out)


def test_sms_wsj_is_read_as_published(tmp_path: Path) -> None:
    signals = make_sms_wsj(tmp_path)
    place = tmp_path / "observation" / "cv_dev93"
    for sources, kind, channels in ((None, "early", 6), (["speech_source"], "speech_source", 1)):
        item = PublishedMixtures(place, sources=sources, sample_rate=RATE)[0]
        assert np.allclose(item["mixture"], signals["observation"].T, atol=1e-6)
        expected = [np.atleast_2d(signals[f"{kind}_{n}"].T) for n in range(2)]
        assert expected[0].shape[0] == channels
        assert np.allclose(item["sources"], expected, atol=1e-6)
    make_sms_wsj(tmp_path / "observed", everything=False)
    place = tmp_path / "observed" / "observation" / "cv_dev93"
    assert len(PublishedMixtures(place, sources=["speech_source"], sample_rate=RATE)) == 1
    with pytest.raises(InputError, match=r"early/cv_dev93: no such folder. SMS-WSJ has observation/SPLIT"):
        PublishedMixtures(place, sample_rate=RATE)


def test_files_of_one_microphone_each_are_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "isolated", tmp_path / "out"
    names = {"tr05_bus_real": "F01_22GC010A_BUS", "dt05_caf_simu": "M03_050C0101_CAF"}
    for folder, name in names.items():
        sounds = {n: write_sound(source / folder / f"{name}.CH{n}.wav", 0.3, seed=n) for n in range(7)}
    write_sound(source / "et05_bus_real" / "F05_1_BUS.CH1.wav", 0.3)
    write_sound(source / "et05_bus_real" / "F06_1_BUS.CH1.wav", 0.3)
    write_sound(source / "et05_bus_real" / "F06_1_BUS.CH3.wav", 0.4)
    write_sound(source / "et05_bus_real" / "F06_1_BUS.wav", 0.3)
    assert chime.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "manifest.tsv")
    assert {name: (row.speaker, row.split, row.seconds) for name, row in rows.items()} == {
        "tr05_bus_real/F01_22GC010A_BUS": ("F01", "train", 0.3),
        "dt05_caf_simu/M03_050C0101_CAF": ("M03", "dev", 0.3),
    }
    joined, rate = soundfile.read(rows["dt05_caf_simu/M03_050C0101_CAF"].audio, dtype="float32")
    assert rate == 16_000
    assert np.array_equal(joined, np.stack([sounds[n] for n in range(1, 7)], axis=1))
    left_out = skipped(out)
    assert left_out["et05_bus_real/F05_1_BUS"].endswith("1 microphone; an array has two or more")
    assert "F06_1_BUS.CH3.wav: 1 channels, 6400 samples" in left_out["et05_bus_real/F06_1_BUS"]

    assert chime.main([str(source), str(tmp_path / "some"), "--workers", "1", "--channels", "5,0,3"]) == 0
    row = rows_by_id(tmp_path / "some" / "manifest.tsv")["dt05_caf_simu/M03_050C0101_CAF"]
    assert np.array_equal(soundfile.read(row.audio, dtype="float32")[0], np.stack([sounds[n] for n in (5, 0, 3)], 1))
    stamp = row.audio.stat().st_mtime_ns
    for channels, numbers in (("5,0,3", (5, 0, 3)), ("3,0,5", (3, 0, 5))):
        assert chime.main([str(source), str(tmp_path / "some"), "--workers", "1", "--channels", channels]) == 0
        assert (row.audio.stat().st_mtime_ns == stamp) == (numbers == (5, 0, 3)), "only other channels are joined anew"
        joined, _ = soundfile.read(row.audio, dtype="float32")
        assert np.array_equal(joined, np.stack([sounds[n] for n in numbers], axis=1))
    assert "expected files NAME.CH1.wav" in fails(chime.main, capsys, out / "audio" / "tr05_bus_real", tmp_path / "x")
    assert "Choose another OUT_FOLDER" in fails(chime.main, capsys, source, source, code=2)
    with pytest.raises(SystemExit):
        chime.main([str(source), str(out), "--channels", "1,1"])
    assert "numbers of two or more microphones" in capsys.readouterr().err


def test_long_recordings_are_joined_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chime, "BLOCK_SECONDS", 0.1)
    sounds = [write_sound(tmp_path / "audio" / "dev" / f"S02_U01.CH{n}.wav", 0.35, seed=n) for n in range(1, 11)]
    (recording,) = chime.list_recordings(tmp_path / "audio")
    assert (recording.id, recording.split, recording.speaker) == ("dev/S02_U01", "dev", "S02")
    row = chime.join(recording, tmp_path / "out")
    assert row.audio.suffix == ".wav"  # FLAC has room for eight
    assert np.array_equal(soundfile.read(row.audio, dtype="float32")[0], np.stack(sounds, axis=1))
