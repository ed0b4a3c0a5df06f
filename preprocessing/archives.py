"""Corpora as they come: tar and zip archives, some of them cut into parts (NAME_partaa, NAME_partab, ...)."""

from __future__ import annotations

import io
import re
import sys
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from avsep.errors import InputError
from avsep.storage.files import write_lines

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
_PART = re.compile(r"(.+part)a([a-z])")


def unpack_all(folder: Path) -> int:
    """Unpack the archives that lie in a folder right there, in the order of their names; returns how many there are.

    What was unpacked to the end is not again (.NAME.unpacked tells). Raises InputError for a part that is missing and
    an archive that is damaged.
    """
    archives = find_archives(folder)
    for name, parts in archives.items():
        done = folder / f".{name}.unpacked"
        if not done.is_file():
            print(f"unpacking {name} ({len(parts)} {'parts' if len(parts) > 1 else 'file'})", file=sys.stderr)
            unpack(parts, folder)
            write_lines(done, [part.name for part in parts])
    return len(archives)


def find_archives(folder: Path) -> dict[str, list[Path]]:
    """The archives of a folder by name, each with the files it is made of. Raises InputError for a missing part."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        part = _PART.fullmatch(file.name)
        if part is not None and file.is_file():
            found.setdefault(part[1], []).append(file)
        elif file.name.lower().endswith(SUFFIXES) and file.is_file():
            found[file.name] = [file]
    for name, files in found.items():
        if name.endswith("part"):
            for file, letter in zip(files, "abcdefghijklmnopqrstuvwxyz", strict=False):
                if not file.name.endswith(f"a{letter}"):
                    raise InputError(f"{folder / name}a{letter}: is missing, but {file.name} is there. Download it too")
    return found


def unpack(parts: Sequence[Path], target: Path) -> None:
    """Unpack one archive, tar or zip by its content, whatever its name. Raises InputError when it is damaged."""
    name = parts[0] if len(parts) == 1 else f"{parts[0]} to {parts[-1].name}"
    with io.BufferedReader(_Joined(parts), 1 << 20) as file:
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    archive.extractall(target)
                return
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(target, filter="data")
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
            raise InputError(
                f"{name}: is no tar or zip archive, or damaged ({error}). Check its size and download it again"
            ) from error


class _Joined(io.RawIOBase):
    """Files read as if they were one."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [file.open("rb") for file in files]
        self._ends = list(accumulate(file.stat().st_size for file in files))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        if start + offset < 0:
            raise OSError("seek before the beginning")  # without a number, which errors of the disk have
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect_right(self._ends, self._at)
        if number == len(self._files):
            return 0
        start = self._ends[number - 1] if number else 0
        self._files[number].seek(self._at - start)
        size = self._files[number].readinto(buffer)
        self._at += size
        return size

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()
