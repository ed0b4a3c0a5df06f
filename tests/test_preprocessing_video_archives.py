"""preprocessing.archives: corpora as they are downloaded."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from avsep.errors import InputError
from preprocessing import lrs3
from preprocessing.archives import unpack_all


def write_archive(folder: Path, name: str, inside: list[str], parts: int = 1, kind: str = "tar") -> bytes:
    """An archive whose files hold their own names, cut into parts called NAMEaa, NAMEab, ..."""
    whole = folder.parent / f"whole.{kind}"
    for path in inside:
        (folder.parent / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder.parent / "tree" / path).write_text(path * 100)
    if kind == "zip":
        with zipfile.ZipFile(whole, "w") as archive:
            for path in inside:
                archive.write(folder.parent / "tree" / path, path)
    else:
        with tarfile.open(whole, "w") as archive:
            for path in inside:
                archive.add(folder.parent / "tree" / path, path)
    data = whole.read_bytes()
    size = -(-len(data) // parts)
    for number in range(parts):
        end = "" if parts == 1 else f"a{'abcdef'[number]}"
        (folder / f"{name}{end}").write_bytes(data[number * size : (number + 1) * size])
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("parts", [1, 3])
def test_archives_and_their_parts_are_unpacked_once(folder: Path, kind: str, parts: int) -> None:
    inside = [f"pretrain/talk{n}/0000{n}.mp4" for n in range(9)]
    write_archive(folder, "lrs3_pretrain_part" if parts > 1 else f"a.{kind}", inside, parts, kind)
    (folder / "README").write_text("no archive")
    assert unpack_all(folder) == 1
    for path in inside:
        assert (folder / path).read_text() == path * 100
        (folder / path).unlink()
    assert unpack_all(folder) == 1
    assert not list(folder.rglob("*.mp4")), "unpacked again"


def test_a_missing_part_and_a_damaged_archive_are_named(folder: Path) -> None:
    write_archive(folder, "lrs3_pretrain_part", ["pretrain/a/1.mp4"], 3)
    (folder / "lrs3_pretrain_partab").rename(folder.parent / "ab")
    with pytest.raises(InputError, match="lrs3_pretrain_partab: is missing, but lrs3_pretrain_partac is there"):
        unpack_all(folder)
    (folder.parent / "ab").rename(folder / "lrs3_pretrain_partab")
    (folder / "lrs3_pretrain_partac").write_bytes(b"")
    (folder / "lrs3_pretrain_partab").write_bytes(b"")
    cut = (folder / "lrs3_pretrain_partaa").read_bytes()[:700]
    (folder / "lrs3_pretrain_partaa").write_bytes(cut)
    with pytest.raises(InputError, match="lrs3_pretrain_partaa to lrs3_pretrain_partac: is no tar or zip archive"):
        unpack_all(folder)
    assert not list(folder.glob(".*.unpacked"))


def test_no_path_leads_out_of_the_corpus(folder: Path) -> None:
    with tarfile.open(folder / "evil.tar", "w") as archive:
        archive.add(__file__, "../evil.py")
    with pytest.raises(InputError, match=r"evil\.tar"):
        unpack_all(folder)
    assert not (folder.parent / "evil.py").exists()


def test_the_modules_unpack_on_demand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("pretrain", "trainval", "test"):
        write_archive(folder, f"lrs3_{part}.zip", [f"{part}/talk/00001.mp4"], kind="zip")
    arguments = [str(folder), str(folder.parent / "out"), "--workers", "1"]
    assert lrs3.main(arguments) == 1
    assert "found lrs3_pretrain.zip" in capsys.readouterr().err
    # The files hold text, which is a reason to skip them, but they were found.
    assert lrs3.main([*arguments, "--unpack"]) == 1
    assert "0 clips, 3 skipped" in capsys.readouterr().out
