"""A library of people on disk: names, and embeddings of their faces and voices.

library.json lists the people. Each has an immutable file of embeddings, and a picture where there is a face, under a
random name: a change writes new files, then replaces library.json, then removes the files that it no longer lists. So a
reader sees the library before or after a change, whatever ends the writer. A lock on the folder keeps writers apart.
"""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from avsep.embeddings.face import DIMENSIONS, WEIGHTS_URL
from avsep.embeddings.speaker import MODEL
from avsep.errors import InputError, OutputError, UsageError
from avsep.results.change import check_name
from avsep.safe_text import one_line
from avsep.storage.documents import read_json
from avsep.storage.files import remove_partials, write_whole
from avsep.version import __version__

INDEX = "library.json"
FORMAT = 1

MOST_EMBEDDINGS = 1000
"""Of the faces, and of the voices, of one person."""

LEARNT = "person-"
"""What a name begins with that nobody gave."""

_OWN_FILE = re.compile(r"([0-9a-f]{32})\.(safetensors|jpg)")


@dataclass(frozen=True)
class Entry:
    """Somebody in a library. id: name of the files, another one after each change. added: when, ISO 8601. faces,
    voices: how many embeddings there are. source: where somebody was learnt, None for who was added by hand.
    thumbnail: whether there is a picture."""

    id: str
    name: str
    added: str
    faces: int
    voices: int
    source: str | None = None
    thumbnail: bool = False


@dataclass(frozen=True, eq=False)
class Embeddings:
    """faces: (n, 512), each of length 1, voices: (m, size) of `embed`, float32. seconds: (m,) of each voice. picture: a
    JPEG of one of the faces, to show; None where there is none."""

    faces: np.ndarray
    voices: np.ndarray
    seconds: np.ndarray
    picture: bytes | None = None

    def joined(self, other: Embeddings) -> Embeddings:
        """Those of both; the picture is the first one's, where it has one."""
        pairs = ((self.faces, other.faces), (self.voices, other.voices), (self.seconds, other.seconds))
        # One without any does not know how many dimensions the other has.
        faces, voices, seconds = (np.concatenate([one for one in pair if len(one)] or [pair[0]]) for pair in pairs)
        return Embeddings(faces, voices, seconds, self.picture or other.picture)


class Library:
    """The people of a folder. Changes are written when `changed_library` ends; they raise UsageError for a name that is
    bad or taken, InputError for somebody who is not there."""

    def __init__(self, folder: Path, entries: Sequence[Entry] = (), learnt: int = 0) -> None:
        self.folder, self.entries, self._learnt = folder, list(entries), learnt
        self.is_changed = False

    def find(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        names = [entry.name for entry in self.entries]
        near = difflib.get_close_matches(name, names, 1)
        hint = f"the nearest is {near[0]!r}. " if near else ""
        there = "'avsep people list' names all" if names else "it is empty"
        raise InputError(f"{self.folder}: nobody is called {name!r}; {hint}{there}")

    def embeddings(self, entry: Entry) -> Embeddings:
        """What somebody is told by. Raises InputError where the file is damaged."""
        file = self.folder / f"{entry.id}.safetensors"
        try:
            return _read_embeddings(file, entry)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{file}: the embeddings of {entry.name} cannot be read ({one_line(error)}). Remove {entry.name} with "
                "'avsep people remove', and add again"
            ) from error

    def check_addition(self, name: str, *, more: bool) -> None:
        """Whether somebody may be added, or more of somebody. Raises as `find` for more, else UsageError for a name
        that is taken."""
        if more:
            self.find(name)
        elif any(entry.name.casefold() == name.casefold() for entry in self.entries):
            raise UsageError(
                f"{self.folder}: {name} is there already. Add to that person with --more, or choose another name"
            )

    def add(self, name: str, embeddings: Embeddings, source: str | None = None) -> Entry:
        """Somebody new."""
        name = self._free(name)
        entry = self._written(Entry("", name, _now(), 0, 0, source), embeddings)
        self.entries.append(entry)
        return entry

    def learn(self, embeddings: Embeddings, source: str) -> Entry:
        """Somebody whose name nobody gave: person-1, person-2, ... A name is not used again for another one."""
        taken = {entry.name.casefold() for entry in self.entries}
        while True:
            self._learnt += 1
            if f"{LEARNT}{self._learnt}" not in taken:
                return self.add(f"{LEARNT}{self._learnt}", embeddings, source)

    def extend(self, name: str, more: Embeddings) -> Entry:
        """Further faces and voices of somebody."""
        entry = self.find(name)
        return self._replace(entry, self._written(entry, self.embeddings(entry).joined(more)))

    def rename(self, name: str, wanted: str) -> Entry:
        entry = self.find(name)
        return self._replace(entry, replace(entry, name=self._free(wanted, entry)))

    def merge(self, name: str, others: Sequence[str]) -> Entry:
        """Give somebody the faces and voices of others, who are then gone."""
        if len({name, *others}) < 1 + len(others):
            raise UsageError(f"{', '.join([name, *others])}: a name is given twice. Name each person once")
        entry = self.find(name)
        gone = [self.find(other) for other in others]
        everything = self.embeddings(entry)
        for other in gone:
            everything = everything.joined(self.embeddings(other))
        merged = self._written(entry, everything)
        self.entries = [one for one in self.entries if one not in gone]
        return self._replace(entry, merged)

    def remove(self, name: str) -> None:
        self.entries.remove(self.find(name))
        self.is_changed = True

    def _replace(self, entry: Entry, other: Entry) -> Entry:
        self.entries[self.entries.index(entry)] = other
        self.is_changed = True
        return other

    def _free(self, name: str, own: Entry | None = None) -> str:
        """A name that nobody else has, whatever the case of its letters."""
        name = check_name(name)
        for entry in self.entries:
            if entry is not own and entry.name.casefold() == name.casefold():
                raise UsageError(f"{self.folder}: {entry.name} is there already. Choose another name")
        return name

    def _written(self, entry: Entry, embeddings: Embeddings) -> Entry:
        """The entry with new files of these embeddings."""
        from safetensors.numpy import save

        faces, voices, seconds = embeddings.faces, embeddings.voices, embeddings.seconds
        for what, values in (("faces", faces), ("voices", voices)):
            if len(values) > MOST_EMBEDDINGS:
                raise UsageError(f"{entry.name} would have {len(values)} {what}; at most {MOST_EMBEDDINGS} are kept")
        data = save({"faces": faces, "voices": voices, "seconds": seconds})
        made = secrets.token_hex(16)
        write_whole(self.folder / f"{made}.safetensors", lambda partial: partial.write_bytes(data))
        if (picture := embeddings.picture) is not None:
            write_whole(self.folder / f"{made}.jpg", lambda partial: partial.write_bytes(picture))
        self.is_changed = True
        return replace(entry, id=made, faces=len(faces), voices=len(voices), thumbnail=picture is not None)

    def write(self) -> None:
        """library.json, which makes the changes valid."""
        content = {
            "format": FORMAT,
            "avsep_version": __version__,
            "embeddings": made_by(),
            "learnt": self._learnt,
            "people": [asdict(entry) for entry in self.entries],
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.folder / INDEX, lambda partial: partial.write_text(text, encoding="utf-8"))


def default_folder() -> Path:
    """Where the library lies that nobody names: in the user's data directory."""
    import platformdirs

    return platformdirs.user_data_path("avsep", appauthor=False) / "people"


@contextmanager
def open_library(folder: Path) -> Iterator[Library]:
    """The library in a folder, to be read; nobody changes it in the block. Raises InputError where there is none or it
    is damaged."""
    _check_there(folder)
    try:
        with _locked(folder, fcntl.LOCK_SH):
            yield _read(folder)
    except OSError as error:
        raise InputError(f"{folder}: the people library cannot be read ({error.strerror})") from error


@contextmanager
def changed_library(folder: Path, *, create: bool = False) -> Iterator[Library]:
    """The library in a folder, locked until the block ends, which writes its changes: all, or none where it fails.

    create: make one where there is none. Raises as `open_library`, and OutputError where it cannot be written.
    """
    _check_there(folder, create)
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder, fcntl.LOCK_EX):
            library = _read(folder, create)
            library.is_changed = not (folder / INDEX).exists()  # an empty library is one, too
            try:
                yield library
                if library.is_changed:
                    library.write()
            finally:
                _sweep(folder)
    except OSError as error:
        raise OutputError(
            f"{folder}: the people library cannot be written ({error.strerror}). Name another folder, or free "
            "some space"
        ) from error


def check_library(folder: Path, *, create: bool) -> Library:
    """What a change would start from, with every file read; nothing is written. Raises as `changed_library` does."""
    if create and not folder.exists():
        place = next(one for one in folder.absolute().parents if one.exists())
        library = Library(folder)
    else:
        _check_there(folder)
        place = folder
        try:
            with _locked(folder, fcntl.LOCK_SH):
                library = _read(folder, create)
                for entry in library.entries:
                    library.embeddings(entry)
        except OSError as error:
            raise InputError(f"{folder}: the people library cannot be read ({error.strerror})") from error
    if create and not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise OutputError(f"{folder}: the people library cannot be written, as {place} cannot. Name another folder")
    return library


def _check_there(folder: Path, create: bool = False) -> None:
    if not create and not folder.exists():
        raise InputError(
            f"{folder}: there is no people library. Make one with 'avsep people add NAME --face FILE --voice FILE', or "
            "with 'avsep separate --learn'"
        )


def _sweep(folder: Path) -> None:
    """Remove files of embeddings and pictures that library.json does not list, and what killed writers left."""
    kept = {entry.id for entry in _read(folder, create=True).entries}
    remove_partials(folder)
    for file in list(folder.iterdir()):
        found = _OWN_FILE.fullmatch(file.name)
        if found and found[1] not in kept:
            file.unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    if folder.is_file():
        raise InputError(
            f"{folder}: is a file, and a people library is a folder. An option that stands before the clips takes the "
            "next word for its folder: name it, or put the option behind them"
        )
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, kind)
        yield
    finally:
        os.close(lock)


def _read(folder: Path, create: bool = False) -> Library:
    """What library.json says. Raises InputError, and OSError where the folder cannot be read."""
    file = folder / INDEX
    if not file.exists():
        strange = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
        if create and not [name for name in strange if not _OWN_FILE.fullmatch(name)]:
            return Library(folder)
        what = f"holds {strange[0]}" if strange else "is empty"
        raise InputError(
            f"{folder}: is no people library, it has no {INDEX} and {what}. Name a library, or a new folder for "
            "'avsep people add'"
        )
    try:
        document = read_json(file)
        if type(document["format"]) is not int:
            raise ValueError(f"its format is {document['format']!r:.100}")
        if document["format"] > FORMAT:
            raise InputError(
                f"{file}: is of format {document['format']}, which a later avsep wrote; this one reads format {FORMAT}."
                " Update avsep, or name another library"
            )
        entries = [_entry(one) for one in document["people"]]
        if len({entry.name.casefold() for entry in entries}) < len(entries):
            raise ValueError("two people have the same name")
        library = Library(folder, entries, _count(document["learnt"]))
        weights = document["embeddings"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
        raise InputError(
            f"{file}: is damaged, or is no people library ({said}). It is left as it is: put a copy back, or name "
            "another folder"
        ) from error
    if entries and weights != made_by():
        raise InputError(
            f"{file}: its embeddings were made by other weights than those of this avsep, and cannot be compared. Add "
            "the people again, to a library in another folder"
        )
    return library


def _entry(told: Any) -> Entry:
    entry = Entry(**told)
    if not all(isinstance(value, str) for value in (entry.id, entry.name, entry.added)):
        raise TypeError("an entry is not of texts")
    if not _OWN_FILE.fullmatch(f"{entry.id}.jpg"):  # a path would lead out of the folder
        raise ValueError(f"{entry.id!r:.100} is not the name of a file")
    if not (entry.source is None or isinstance(entry.source, str)) or not isinstance(entry.thumbnail, bool):
        raise TypeError(f"the entry {entry.id} is not as it is written")
    _count(entry.faces), _count(entry.voices)
    try:
        if check_name(entry.name) != entry.name:
            raise ValueError(f"{entry.name!r:.100} is not a name")
    except UsageError as error:
        raise ValueError(str(error)) from error
    return entry


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.100} is not a number of things")
    return value


def _read_embeddings(file: Path, entry: Entry) -> Embeddings:
    """Raises OSError and ValueError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if file.stat().st_size > 2 * MOST_EMBEDDINGS * 4 * (DIMENSIONS + 1024):
        raise ValueError("the file is too large")
    try:
        found = load(file.read_bytes())
        faces, voices, seconds = found["faces"], found["voices"], found["seconds"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from error
    counts = (len(faces), len(voices), len(seconds)) if seconds.ndim == 1 and faces.ndim == voices.ndim == 2 else None
    if counts != (entry.faces, entry.voices, entry.voices) or (len(faces) and faces.shape[1] != DIMENSIONS):
        raise ValueError("they are not as many as library.json says")
    for values in (faces, voices, seconds):
        if values.dtype != np.float32 or not np.isfinite(values).all():
            raise ValueError("there are values that are no finite numbers")
    if len(seconds) and seconds.min() <= 0:
        raise ValueError("a voice has no speech")
    picture = file.with_suffix(".jpg")
    # Only shown, so one that is gone is no harm.
    has_picture = entry.thumbnail and picture.is_file()
    return Embeddings(faces, voices, seconds, picture.read_bytes() if has_picture else None)


def made_by() -> dict[str, str]:
    """Which weights make the embeddings: those of others cannot be compared with them."""
    from avsep.checkpoint import find_weights

    voice = hashlib.sha256(find_weights(MODEL).read_bytes()).hexdigest()[:16]
    return {"face": WEIGHTS_URL.rsplit("/", 1)[1].removesuffix(".pt"), "voice": voice}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
