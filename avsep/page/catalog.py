"""The results of one folder, by identifiers that are no paths."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from avsep.errors import InputError
from avsep.output.ownership import own_files
from avsep.results.result import MANIFEST, Result, ResultTrack, read_result


class NotFound(Exception):
    """What is asked for is not there, or is not of the page's folder."""


@dataclass(frozen=True)
class Found:
    """A result with its identifier and `version`, another one after each change."""

    id: str
    version: str
    result: Result

    @property
    def name(self) -> str:
        return self.result.folder.name

    @property
    def sounds(self) -> list[Path]:
        """Sound of every track, then the residual if there is one. Raises NotFound where there is none at all."""
        residual = self.result.residual
        sounds = [track.audio for track in self.result.tracks] + ([residual] if residual else [])
        if not sounds:
            raise NotFound("There is no sound in this result")
        return sounds


class Catalog:
    """The results that lie in `folder` itself. Links are not followed, so nothing outside it is ever shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Found] = {}

    def all(self) -> list[Found]:
        """All results, the newest first. Damaged ones are left out."""
        found = []
        for name in self._names():
            try:
                found.append(self._find(name))
            except (NotFound, InputError):
                continue
        known = {one.id for one in found}
        self._read = {key: value for key, value in list(self._read.items()) if key in known}
        return sorted(found, key=lambda one: one.version, reverse=True)

    def find(self, identifier: str) -> Found:
        """Raises NotFound, and InputError for a damaged result."""
        for name in self._names():
            if identify(name) == identifier:
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

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.folder) as entries:
                return [one.name for one in entries if one.name[0] != "." and one.is_dir(follow_symlinks=False)]
        except FileNotFoundError:  # until the first clip is sent
            return []
        except OSError as error:
            raise NotFound(f"{self.folder}: cannot be read ({error.strerror}). Start avsep page again") from error

    def _find(self, name: str) -> Found:
        folder, identifier = self.folder / name, identify(name)
        try:
            state = os.lstat(folder / MANIFEST)
        except OSError as error:
            raise NotFound("There is no such result any more. Go back to the list of results") from error
        if not stat.S_ISREG(state.st_mode):
            raise NotFound("There is no such result. Go back to the list of results")
        version = f"{state.st_mtime_ns:016x}{state.st_ino:x}"
        known = self._read.get(identifier)
        if known is None or known.version != version:
            known = self._read[identifier] = Found(identifier, version, read_result(folder))
        return known


def identify(name: str) -> str:
    """The identifier of the result in a folder of this name."""
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
