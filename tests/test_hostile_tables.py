"""Manifests and lists that another program saved, or nobody meant: one clear error with the line, or they are read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from avsep.data import manifest as manifests
from avsep.data.corpus import Corpus
from avsep.data.lists import MixtureSpec, Part, read_list, write_list
from avsep.data.manifest import read_manifest
from avsep.errors import InputError, OutputError
from avsep.storage import listed_files


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    sf.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    header = "\t".join(manifests.COLUMNS)
    (tmp_path / "m.tsv").write_text(f"{header}\na\ta.wav\t\t\tada\ttrain\t1.0\nb\ta.wav\t\t\tbob\tdev\t1.0\n")
    return tmp_path / "m.tsv"


@pytest.fixture
def mixtures(tmp_path: Path, manifest: Path) -> Path:
    write_list(tmp_path / "l.tsv", [MixtureSpec("m", 1.0, (Part(tmp_path / "a.wav", None, "ada", "voice", 0.5, 2.0),))])
    return tmp_path / "l.tsv"


def test_a_mark_of_the_byte_order_and_lines_of_windows(manifest: Path, mixtures: Path) -> None:
    for path in (manifest, mixtures):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [row.id for row in read_manifest(manifest)] == ["a", "b"]
    assert read_list(mixtures)[0].id == "m"


def test_another_encoding(manifest: Path, mixtures: Path) -> None:
    for path, read in ((manifest, read_manifest), (mixtures, read_list)):
        path.write_bytes(path.read_bytes().replace(b"ada", "Zoë".encode("latin-1")))
        with pytest.raises(InputError, match=r"is no UTF-8 \(byte 0xeb\)\. Save the table as UTF-8"):
            read(path)
    manifest.write_text(manifest.read_text(encoding="latin-1"), encoding="utf-16")
    with pytest.raises(InputError, match="is no UTF-8"):
        read_manifest(manifest)


def test_a_field_without_end(manifest: Path, mixtures: Path) -> None:
    for path, read in ((manifest, read_manifest), (mixtures, read_list)):
        path.write_text(path.read_text().replace("ada", "a" * 200_000))
        with pytest.raises(InputError, match=r"line 2: field larger than field limit"):
            read(path)


@pytest.mark.parametrize("bad", ["inf", "-inf", "nan", "1e12", "long", "", "\x00"])
def test_lengths_that_no_sound_has(manifest: Path, mixtures: Path, bad: str) -> None:
    for path, read in ((manifest, read_manifest), (mixtures, read_list)):
        path.write_text(path.read_text().replace("\t1.0", f"\t{bad}", 1))
        with pytest.raises(InputError, match=r"line 2: seconds is"):
            read(path)


@pytest.mark.parametrize(("column", "change"), [("start_seconds", ("0.5\t", "1e300\t")), ("gain", ("2.0\n", "1e30\n"))])
def test_numbers_that_no_part_has(mixtures: Path, column: str, change: tuple[str, str]) -> None:
    mixtures.write_text(mixtures.read_text().replace(*change))
    with pytest.raises(InputError, match=rf"line 2: {column} is .*; it must be from"):
        read_list(mixtures)


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "a\x00.wav", "x/" * 3000])
def test_names_that_no_file_has(manifest: Path, mixtures: Path, name: str) -> None:
    for path, read in ((manifest, read_manifest), (mixtures, read_list)):
        path.write_text(path.read_text().replace("a.wav", name, 1))
        with pytest.raises(InputError, match=r"line 2: audio is .* which is not there"):
            read(path)


def test_an_empty_file_and_an_empty_line(manifest: Path, tmp_path: Path) -> None:
    manifest.write_text(manifest.read_text() + "\n\n")
    assert len(read_manifest(manifest)) == 2
    (tmp_path / "empty.tsv").touch()
    with pytest.raises(InputError, match="no column id"):
        read_manifest(tmp_path / "empty.tsv")


def test_a_packed_corpus_with_another_encoding(tmp_path: Path) -> None:
    np.save(tmp_path / "train.npy", np.zeros(100, np.int16))
    (tmp_path / "train.tsv").write_bytes(b"id\tspeaker\tstart\tlength\n0\tZo\xeb\t0\t10\n")
    with pytest.raises(InputError, match="is no UTF-8"):
        Corpus(tmp_path)


def test_many_rows_of_one_folder_are_found_as_few_are(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond some rows the folder is listed instead of asked."""
    monkeypatch.setattr(listed_files, "ASKED_BEFORE_LISTING", 3)
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    sf.write(tmp_path / "deep" / "b.wav", np.zeros(9), 16_000)
    names = [*["a.wav"] * 5, "link.wav", *["deep/b.wav"] * 5, str(tmp_path / "a.wav"), "./a.wav"]
    rows = "".join(f"{n}\t{name}\t\t\tada\ttrain\t1.0\n" for n, name in enumerate(names))
    header = manifest.read_text().splitlines()[0]
    manifest.write_text(f"{header}\n{rows}")
    assert [row.audio for row in read_manifest(manifest)] == [tmp_path / name for name in names]
    for gone in ("gone.wav", "deep/a.wav", "deep"):
        manifest.write_text(f"{header}\n{rows}x\t{gone}\t\t\tada\ttrain\t1.0\n")
        with pytest.raises(InputError, match=f"line {len(names) + 2}: audio is .*{gone}, which is not there"):
            read_manifest(manifest)


def test_a_name_that_is_no_utf_8_is_told_before_a_manifest_is_written(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.wav")
    sf.write(os.fsencode(tmp_path / name), np.zeros(9), 16_000)
    row = manifests.Utterance("a", tmp_path / name, None, None, "ada", "train", 1.0)
    with pytest.raises(OutputError, match=r"line 2 would hold a name that is no UTF-8"):
        manifests.write_manifest(tmp_path / "m.tsv", [row])
    assert not (tmp_path / "m.tsv").exists()


def test_names_of_other_languages_in_a_locale_of_ascii(tmp_path: Path) -> None:
    """Written by a process whose locale knows ASCII only, read by one of UTF-8 and by one of ASCII."""
    folder = tmp_path / "Übung"
    folder.mkdir()
    sf.write(folder / "ä.wav", np.zeros(9), 16_000)
    script = (
        "import os\nfrom pathlib import Path\n"
        "from avsep.data.manifest import Utterance, read_manifest, write_manifest\n"
        "file = next(p for p in Path('.').rglob('*.wav'))\n"
        "write_manifest(file.parent / 'm.tsv', [Utterance('a', file, None, None, file.parent.name, 'train', 1.0)])\n"
        "assert read_manifest(file.parent / 'm.tsv')[0].audio.samefile(file)\n"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=os.environ | ascii_only, timeout=100)
    assert done.returncode == 0
    (row,) = read_manifest(folder / "m.tsv")
    assert (row.audio, row.speaker) == (folder / "ä.wav", "Übung")
