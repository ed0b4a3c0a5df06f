"""The results below one folder, by identifiers that are no paths."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from avsep.errors import InputError
from avsep.output.exchange import is_exchanged
from avsep.output.ownership import own_files
from avsep.results.result import MANIFEST, Result, ResultTrack, read_result

DEEPEST, MOST_FOLDERS = 6, 20_000
"""Folders within folders, and folders in all, in which results are looked for."""
_EXCHANGE_SECONDS = 1.0
"""How long a result that is being exchanged is waited for; what a killed run left stays so until it is settled."""


class NotFound(Exception):
    """What is asked for is not there, or is not of the page's folder."""


@dataclass(frozen=True)
class Found:
    """A result with its identifier, its place below the page's folder, and `version`, another one after each change."""

    id: str
    name: str
    version: str
    result: Result

    @property
    def sounds(self) -> list[Path]:
        """Sound of every track, then the residual if there is one. Raises NotFound where there is none at all."""
        residual = self.result.residual
        sounds = [track.audio for track in self.result.tracks] + ([residual] if residual else [])
        if not sounds:
            raise NotFound("There is no sound in this result")
        return sounds


class Damaged(NamedTuple):
    """What lies where a result should, and cannot be read. name: its place below the page's folder."""

    name: str
    reason: str


class Catalog:
    """The results that lie in `folder` or in folders of it, as those of a whole folder of clips do. Links are not
    followed, so nothing outside it is ever shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Found] = {}
        self._places: dict[str, str] = {}

    def all(self) -> tuple[list[Found], list[Damaged]]:
        """All results, the newest first, and by name those that are damaged. Raises NotFound where the folder cannot
        be read."""
        found, damaged = [], []
        self._look()
        for name in self._places.values():
            try:
                found.append(self._find(name))
            except NotFound:  # gone meanwhile
                continue
            except InputError as error:
                damaged.append(Damaged(name, str(error)))
        known = {one.id for one in found}
        self._read = {key: value for key, value in list(self._read.items()) if key in known}
        return sorted(found, key=lambda one: one.version, reverse=True), sorted(damaged)

    def find(self, identifier: str) -> Found:
        """Raises NotFound, and InputError for a damaged result."""
        if self._is_gone(identifier):
            self._look()
        if name := self._places.get(identifier):
            return self._find(name)
        raise NotFound("There is no such result any more. Go back to the list of results")

    def track(self, found: Found, identifier: str) -> ResultTrack:
        """Raises NotFound."""
        for track in found.result.tracks:
            if track.id == identifier:
                return track
        raise NotFound("There is no such track any more. Reload the page")

    def files(self, found: Found) -> list[str]:
        """Names of the files of a result: those its manifest names and the manifest."""
        folder = found.result.folder
        return sorted(name for name in own_files(folder) if _is_plain(folder / name))

    def _look(self) -> None:
        """Where the results are now."""
        found = {identify(name): name for name in self._names()}
        known = self._places
        self._places = found | {key: known[key] for key in known.keys() - found.keys() if not self._is_gone(key)}

    def _is_gone(self, identifier: str) -> bool:
        """Whether a result is neither where it was, with no link on the way to it, nor about to be there again."""
        name = self._places.get(identifier)
        if name is None:
            return True
        *parents, folder = accumulate(Path(name).parts, Path.joinpath, initial=self.folder)
        way_is_there = all(_is_folder(parent) for parent in parents[1:])
        return not (way_is_there and (_is_folder(folder) or is_exchanged(folder)))

    def _names(self) -> Iterator[str]:
        """Places of the results below the folder. Raises NotFound where that cannot be read."""
        left, looked_at = [("", 0)], 0
        while left and looked_at < MOST_FOLDERS:
            place, depth = left.pop()
            looked_at += 1
            try:
                inner = _folders(self.folder / place)
            except FileNotFoundError:  # the page's own until the first clip is sent
                continue
            except OSError as error:
                if place:
                    continue
                raise NotFound(f"{self.folder}: cannot be read ({error.strerror}). Start avsep page again") from error
            for name in inner:
                below = f"{place}/{name}" if place else name
                if os.path.lexists(self.folder / below / MANIFEST):
                    yield below
                elif depth < DEEPEST:
                    left.append((below, depth + 1))

    def _find(self, name: str) -> Found:
        folder, identifier = self.folder / name, identify(name)
        until = time.monotonic() + _EXCHANGE_SECONDS
        while is_exchanged(folder) and time.monotonic() < until:
            time.sleep(0.01)
        try:
            state = os.lstat(folder / MANIFEST)
        except OSError as error:
            raise NotFound("There is no such result any more. Go back to the list of results") from error
        if not stat.S_ISREG(state.st_mode):
            raise InputError(f"{folder / MANIFEST}: is a link or no file at all. Put the file itself there")
        version = f"{state.st_mtime_ns:016x}{state.st_ino:x}"
        known = self._read.get(identifier)
        if known is None or known.version != version:
            known = self._read[identifier] = Found(identifier, name, version, read_result(folder))
        return known


def _folders(folder: Path) -> list[str]:
    """Names of those in it that are no links and not hidden."""
    with os.scandir(folder) as entries:
        return [one.name for one in entries if one.name[0] != "." and one.is_dir(follow_symlinks=False)]


def _is_folder(path: Path) -> bool:
    """Whether it is one itself and no link."""
    return path.is_dir() and not path.is_symlink()


def identify(name: str) -> str:
    """The identifier of the result at this place below the page's folder."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:20]


def plain_file(file: Path | None) -> Path:
    """The file if it is one itself. Raises NotFound for a link, a pipe or nothing."""
    if file is None or not _is_plain(file):
        raise NotFound("There is no such file in this result. Reload the page")
    return file


def open_plain(file: Path) -> int:
    """A descriptor of a file that is one itself. Raises NotFound as `plain_file`."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise NotFound(f"{file.name} is not there or cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFound(f"{file.name} is not a file")
    return descriptor


def _is_plain(file: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(file).st_mode)
    except OSError:
        return False


def picture_of(result: Result) -> Path | None:
    """A video of the result that shows the clip's picture; its sound does not matter."""
    return next((track.video for track in result.tracks if track.video and _is_plain(track.video)), None)
