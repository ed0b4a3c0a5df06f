"""Packing the sounds of a manifest into arrays."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, skipped, write_sound

from avsep.data.corpus import Corpus
from avsep.data.manifest import Utterance, write_manifest
from preprocessing import pack_audio
from preprocessing.pack_audio import main, pack

ONE = ["--workers", "1"]


def listed(folder: Path) -> Path:
    """Two speakers in train, one in dev, one file that is no sound; 16 kHz mono and 44.1 kHz stereo."""
    folder.mkdir()
    write_sound(folder / "a.wav", 0.5, seed=1)
    write_sound(folder / "b.wav", 0.25, 44100, 2, seed=2)
    write_sound(folder / "c.flac", 0.4, seed=3)
    (folder / "d.wav").write_text("no sound")
    lines = ["path\tspeaker\tgender\tsplit", "a.wav\tanna\tf\ttrain", "b.wav\tbert\tm\ttrain", "c.flac\tcleo\tf\tdev"]
    (folder / "manifest.tsv").write_text("\n".join([*lines, "d.wav\tbert\tm\ttrain"]) + "\n")
    return folder


def test_arrays_hold_the_sounds_end_to_end(tmp_path: Path) -> None:
    source, out = listed(tmp_path / "in"), tmp_path / "out"
    assert main([str(source), str(out), *ONE]) == 0
    train = np.load(out / "train.npy")
    assert train.dtype == np.int16
    assert np.array_equal(train[:8000], soundfile.read(source / "a.wav", dtype="int16")[0])
    assert len(train) == 8000 + 4000
    assert np.array_equal(np.load(out / "dev.npy"), soundfile.read(source / "c.flac", dtype="int16")[0])
    table = (out / "train.tsv").read_text().splitlines()
    assert table == ["speaker\tstart\tlength\tid", "anna\t0\t8000\ta.wav", "bert\t8000\t4000\tb.wav"]
    assert "d.wav: " in skipped(out)["d.wav"]
    names = ["dev.npy", "dev.tsv", "jobs.jsonl", "skipped.tsv", "train.npy", "train.tsv"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert Corpus(out, "train").names == ["anna", "bert"]


def test_two_rows_of_one_name_are_two_sounds(tmp_path: Path) -> None:
    source, out = listed(tmp_path / "in"), tmp_path / "out"
    rows = [
        Utterance("x", source / "a.wav", None, None, "anna", "train", 0.5),
        Utterance("x", source / "c.flac", None, None, "cleo", "train", 0.4),
    ]
    write_manifest(tmp_path / "manifest.tsv", rows)
    assert main([str(tmp_path / "manifest.tsv"), str(out), *ONE]) == 0
    sounds = [soundfile.read(row.audio, dtype="int16")[0] for row in rows]
    assert np.array_equal(np.load(out / "train.npy"), np.concatenate(sounds))


def test_film_variants_are_utterances_of_the_same_speaker(tmp_path: Path) -> None:
    source, out = listed(tmp_path / "in"), tmp_path / "out"
    assert main([str(source), str(out), "--film", "2", *ONE]) == 0
    table = [line.split("\t") for line in (out / "train.tsv").read_text().splitlines()[1:]]
    assert [(row[0], row[3]) for row in table] == [
        *(("anna", name) for name in ("a.wav", "a.wav~1", "a.wav~2")),
        *(("bert", name) for name in ("b.wav", "b.wav~1", "b.wav~2")),
    ]
    train = np.load(out / "train.npy").astype(float)
    plain, *film = (train[8000 * n : 8000 * (n + 1)] for n in range(3))
    assert np.array_equal(plain, soundfile.read(source / "a.wav", dtype="int16")[0])
    for variant in film:
        assert not np.array_equal(variant, plain)
        assert np.corrcoef(variant, plain)[0, 1] > 0.5, "shifted, or another sound"
    # The same whenever it is made.
    main([str(source), str(out), "--film", "2", "--overwrite", *ONE])
    assert np.array_equal(np.load(out / "train.npy"), train)


def test_our_manifest_and_folders_without_one(tmp_path: Path) -> None:
    source = listed(tmp_path / "in")
    rows = [Utterance("x/c", source / "c.flac", None, None, "cleo", "test", 0.4)]
    write_manifest(tmp_path / "lists" / "manifest.tsv", rows)
    for given in (tmp_path / "lists", tmp_path / "lists" / "manifest.tsv"):
        assert [(r.id, r.file.name, r.speaker, r.split) for r in pack_audio.list_files(given)] == [
            ("x/c", "c.flac", "cleo", "test")
        ]
    (source / "manifest.tsv").unlink()
    assert {(row.speaker, row.split) for row in pack_audio.list_files(source)} == {("in", "train")}


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = listed(tmp_path / "in"), tmp_path / "out"
    read: list[str] = []
    real = pack_audio.read_mono

    def interrupted(path: Path) -> np.ndarray:
        if path.name == "c.flac" and "c.flac" not in read:
            read.append(path.name)
            raise KeyboardInterrupt
        read.append(path.name)
        return real(path)

    monkeypatch.setattr(pack_audio, "read_mono", interrupted)
    assert main([str(source), str(out), *ONE]) == 130
    assert not list(out.glob("*.npy"))
    assert main([str(source), str(out), *ONE]) == 0
    assert read == ["a.wav", "b.wav", "c.flac", "c.flac", "d.wav"]
    # What is there is left alone; a split that is gone is made again.
    stamp = (out / "train.npy").stat().st_mtime_ns
    os.unlink(out / "dev.tsv")
    assert main([str(source), str(out), *ONE]) == 0
    assert read[5:] == ["c.flac"]
    assert (out / "train.npy").stat().st_mtime_ns == stamp
    assert main([str(source), str(out), "--overwrite", *ONE]) == 0
    assert len(read) == 10


def test_parts_of_another_run_are_not_taken(tmp_path: Path) -> None:
    source, out = listed(tmp_path / "in"), tmp_path / "out"
    (out / ".parts").mkdir(parents=True)
    (out / ".parts" / "files.txt").write_text("other\n")
    np.save(out / ".parts" / "0000000.npy", np.zeros(3, np.int16))
    assert pack(source, out) == 3
    assert len(np.load(out / "train.npy")) == 12000


def test_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert "no such folder" in fails(main, capsys, tmp_path / "none", out)
    assert "expected a manifest.tsv or sound files; it is empty" in fails(main, capsys, tmp_path / "empty", out)
    assert not out.exists()
    bad = tmp_path / "bad"
    bad.mkdir()
    soundfile.write(bad / "nan.wav", np.full(100, np.nan, np.float32), 16000, subtype="FLOAT")
    assert main([str(bad), str(out), *ONE]) == 1
    assert "NaN" in skipped(out)["nan.wav"]
    assert sorted(path.name for path in out.iterdir()) == ["jobs.jsonl", "skipped.tsv"]
