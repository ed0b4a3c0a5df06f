"""Corpora as they come: tar and zip archives, some of them cut into parts (NAME_partaa, NAME_partab, ...)."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import re
import shutil
import sys
import tarfile
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path, PurePosixPath

from avsep.errors import InputError
from avsep.safe_text import one_line, safe_line
from avsep.storage.files import write_lines

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".zip")
_ENCRYPTED = 1
"""The flag of a zip's entry."""
_OF_BROKEN_HEADERS = (EOFError, NotImplementedError, ValueError, OverflowError, LookupError, RuntimeError)
"""What the libraries raise for headers that make no sense."""
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
            print(
                f"unpacking {safe_line(name)} ({len(parts)} {'parts' if len(parts) > 1 else 'file'})", file=sys.stderr
            )
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
    """Unpack one archive, tar or zip by its content, whatever its name: all of it or nothing.

    Raises InputError when it is damaged, encrypted, or holds what cannot lie in the folder.
    """
    name = str(parts[0]) if len(parts) == 1 else f"{parts[0]} to {parts[-1].name}"
    partial = target / f".{parts[0].name}.partial"
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir(parents=True)
    try:
        with io.BufferedReader(_Joined(parts), 1 << 20) as file:
            _extract(file, name, partial)
        _check_places(partial, target, name)
        _move_into(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(file: io.BufferedReader, name: str, folder: Path) -> None:
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if any(entry.flag_bits & _ENCRYPTED for entry in archive.infolist()):
                    raise InputError(f"{name}: is encrypted with a password. Unpack it with another program")
                archive.extractall(folder)
            return
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter="data")
            else:  # Python 3.11.0 to 3.11.3
                tar.extractall(folder, members=_harmless(tar))
            _read_to_end(tar)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise _clash(name, Path(error.filename).relative_to(folder)) from error
    except OSError as error:
        if error.errno not in (None, errno.ENAMETOOLONG) and not isinstance(error, gzip.BadGzipFile):
            raise  # of the disk, not of the archive
        raise _damaged(name, error) from error
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, *_OF_BROKEN_HEADERS) as error:
        raise _damaged(name, error) from error


def _harmless(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files and folders within the archive's own, as plain as umask makes them. Raises TarError for anything else."""
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} is no file or folder within it")
        member.mode = 0o755 if member.isdir() else 0o644
        member.uid = member.gid = -1
        member.uname = member.gname = ""
        yield member


def _read_to_end(tar: tarfile.TarFile) -> None:
    """A packed stream tells by its last bytes whether it is whole, behind the last file of the tar."""
    assert tar.fileobj is not None
    while tar.fileobj.read(1 << 20):
        pass


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(
        f"{name}: is no tar or zip archive, or damaged ({one_line(error)}). Check its size and download it again"
    )


def _clash(name: str, place: Path) -> InputError:
    return InputError(f"{name}: {place} is a file as well as a folder. Unpack it by hand into an empty folder")


def _check_places(partial: Path, target: Path, name: str) -> None:
    """Raise InputError for a file in the place of a folder, and the other way round, before anything is moved."""
    for folder, folders, files in os.walk(partial):
        place = target / Path(folder).relative_to(partial)
        for entry in folders:
            if os.path.lexists(place / entry) and not (place / entry).is_dir():
                raise _clash(name, place / entry)
        for entry in files:
            if (place / entry).is_dir() and not (place / entry).is_symlink():
                raise _clash(name, place / entry)


def _move_into(partial: Path, target: Path) -> None:
    """Everything in a folder to where it belongs in another of the same disk; files of the same name are replaced."""
    for entry in sorted(partial.iterdir()):
        place = target / entry.name
        if entry.is_dir() and not entry.is_symlink() and place.is_dir():
            _move_into(entry, place)
        else:
            entry.replace(place)


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
