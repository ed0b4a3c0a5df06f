"""preprocessing.archives against archives that are damaged, locked or hostile: one clear error, nothing left."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from avsep.errors import InputError
from preprocessing.archives import unpack_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


def member(name: str, data: bytes = b"sound", **settings: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in settings.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def write_tar(path: Path, *members: tuple[tarfile.TarInfo, io.BytesIO], kind: str = "") -> None:
    with tarfile.open(path, f"w:{kind}") as archive:
        for info, data in members:
            archive.addfile(info, data)


def assert_refused(folder: Path, *parts: str) -> None:
    with pytest.raises(InputError) as caught:
        unpack_all(folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message
    left = [path.name for path in folder.iterdir() if not path.name.endswith((".tar", ".gz", ".zip"))]
    assert not left, "something half-unpacked, or marked as done"


def stored_gzip(data: bytes) -> bytearray:
    """gzip whose bytes are those of the data, so that one of them can be flipped without breaking the stream."""
    packer = zlib.compressobj(0, zlib.DEFLATED, 31)
    return bytearray(packer.compress(data) + packer.flush())


def test_one_flipped_byte_of_a_gzip_is_found_by_its_checksum(folder: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for number in range(3):
            archive.addfile(*member(f"talk/{number}.wav", bytes(20_000)))
    packed = stored_gzip(whole.getvalue())
    packed[30_000] ^= 1
    (folder / "a.tar.gz").write_bytes(packed)
    assert_refused(folder, "a.tar.gz", "damaged", "again")
    packed[30_000] ^= 1
    (folder / "a.tar.gz").write_bytes(packed)
    assert unpack_all(folder) == 1
    assert (folder / "talk" / "1.wav").read_bytes() == bytes(20_000)


@pytest.mark.parametrize("kind", ["xz", "bz2", "gz"])
@pytest.mark.parametrize("where", [0.1, 0.5, 0.98])
def test_noise_inside_of_a_packed_tar(folder: Path, kind: str, where: float) -> None:
    noise = np.random.default_rng(0).bytes(50_000)
    write_tar(folder / "a.tar", member("1.wav", noise), kind=kind)
    data = bytearray((folder / "a.tar").read_bytes())
    at = int(where * len(data))
    data[at : at + 4] = b"\xaa\x55\xaa\x55"
    (folder / "a.tar").write_bytes(data)
    assert_refused(folder, "a.tar", "damaged")


def test_an_encrypted_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("1.wav", b"sound")
    data = (folder / "a.zip").read_bytes()
    locked = data.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    )
    assert locked != data
    (folder / "a.zip").write_bytes(locked)
    assert_refused(folder, "a.zip", "password")


def test_a_file_and_a_folder_of_one_name(folder: Path) -> None:
    write_tar(folder / "a.tar", member("talk"), member("talk/1.wav"))
    assert_refused(folder, "a.tar", "talk")


def test_a_folder_that_is_a_file_already(folder: Path) -> None:
    write_tar(folder / "a.tar", member("talk/1.wav"))
    (folder / "talk").write_text("mine")
    with pytest.raises(InputError, match="talk"):
        unpack_all(folder)
    assert (folder / "talk").read_text() == "mine"
    (folder / "talk").unlink()
    (folder / "talk" / "1.wav").mkdir(parents=True)
    with pytest.raises(InputError, match=r"talk/1\.wav"):
        unpack_all(folder)


@pytest.mark.parametrize(
    "hostile",
    [
        member("../out.wav"),
        member("/tmp/out.wav", type=tarfile.SYMTYPE, linkname="/etc"),
        member("link", b"", type=tarfile.SYMTYPE, linkname="../../etc"),
        member("hard", b"", type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
        member("device", b"", type=tarfile.CHRTYPE),
        member("pipe", b"", type=tarfile.FIFOTYPE),
    ],
    ids=["parent", "absolute", "link", "hard-link", "device", "pipe"],
)
def test_nothing_but_files_within_the_corpus(folder: Path, hostile: tuple[tarfile.TarInfo, io.BytesIO]) -> None:
    write_tar(folder / "a.tar", member("1.wav"), hostile)
    assert_refused(folder, "a.tar")
    assert [path.name for path in folder.parent.iterdir()] == ["corpus"]


def test_a_later_archive_adds_to_the_folders_of_an_earlier_one(folder: Path) -> None:
    write_tar(folder / "a.tar", member("talk/1.wav"), member("talk/2.wav", b"old"))
    write_tar(folder / "b.tar", member("talk/2.wav", b"new"), member("talk/deep/3.wav"))
    assert unpack_all(folder) == 2
    assert (folder / "talk" / "2.wav").read_bytes() == b"new"
    assert (folder / "talk" / "1.wav").is_file()
    assert (folder / "talk" / "deep" / "3.wav").is_file()
    assert not list(folder.glob(".*.partial"))
