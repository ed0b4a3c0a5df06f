"""A manifest changed after the separation: whole or not at all, by one writer at a time."""

from __future__ import annotations

import copy
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avsep.errors import InputError, OutputError, UsageError
from avsep.output import manifest
from avsep.output.faces import FACES
from avsep.results.result import MANIFEST, VOICE_KINDS, Result, names_in, read_result
from avsep.storage.files import write_whole

MOST_NAME = 100
"""Characters of a name."""


def change_result(folder: Path | str, change: Callable[[dict[str, Any], Result], None]) -> Result:
    """Let `change` alter a copy of the manifest of a result, which replaces it when that succeeds; `speakers` and
    `outdated` follow. Whoever else changes the same result waits. Returns the result as it is then.

    Raises InputError where there is no result or a change leaves none, and OutputError where it cannot be written.
    """
    folder = Path(folder)
    read_result(folder)
    try:
        with locked(folder):
            result = read_result(folder)
            content = copy.deepcopy(dict(result.manifest))
            change(content, result)
            set_speakers(content)
            note_outdated(content, result.manifest)
            write_whole(folder / MANIFEST, lambda partial: manifest.write(partial, content))
            return read_result(folder)
    except OSError as error:
        raise OutputError(f"{folder / MANIFEST}: cannot be written ({error.strerror}). Nothing was changed") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a result for oneself; whoever else changes it waits. Raises OSError where it is not there."""
    while True:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock), os.stat(folder)):  # not replaced while this waited
                yield
                return
        finally:
            os.close(lock)


def set_speakers(content: dict[str, Any]) -> None:
    """Let `speakers` of a manifest repeat what `tracks` says of people and voices."""
    content["speakers"] = [entry for entry in content["tracks"] if entry["kind"] in VOICE_KINDS]


def note_outdated(content: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Where tracks are others than before, let `outdated` of a manifest list its files of other formats."""
    if [_shown(entry) for entry in content["tracks"]] != [_shown(entry) for entry in before["tracks"]]:
        set_outdated(content, set(names_in(content, "files")) - {FACES})


def set_outdated(content: dict[str, Any], names: Iterable[str], current: Iterable[str] = ()) -> None:
    """Add names of files to `outdated` of a manifest, and take those that are `current` away."""
    outdated = {*names_in(content, "outdated"), *names}.difference(current)
    content.pop("outdated", None)
    if outdated:
        content["outdated"] = sorted(outdated)


def _shown(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What other formats may tell of a track."""
    return {key: value for key, value in entry.items() if key != "measures" and value != []}


def rename_tracks(folder: Path | str, names: Mapping[str, str | None]) -> Result:
    """Give tracks of a result names: id or present name -> name, None or "" for none. Several at once may exchange
    theirs. Raises UsageError for a bad name or one that two tracks would have, else as `change_result`."""
    wanted = {track: check_name(name) if name else None for track, name in names.items()}

    def change(content: dict[str, Any], result: Result) -> None:
        ids = {result.track(track).id: name for track, name in wanted.items()}
        if len(ids) < len(wanted):
            raise UsageError("one track is given two names. Name each track once")
        for entry in content["tracks"]:
            if entry["id"] in ids:
                if entry["kind"] not in VOICE_KINDS:
                    raise InputError(f"{folder}: {entry['id']} is a {entry['kind']}, and only people have names")
                entry["label"] = ids[entry["id"]]
        taken: dict[str, str] = {}
        for entry in content["tracks"]:
            label = entry.get("label")
            if label is None or entry["kind"] not in VOICE_KINDS:
                continue
            if taken.setdefault(label, entry["id"]) != entry["id"]:
                raise UsageError(
                    f"{taken[label]} and {entry['id']} would both be called {label!r}. Choose another name"
                )

    return change_result(folder, change)


def check_name(name: str) -> str:
    """A name of a person without the spaces around it. Raises UsageError."""
    name = " ".join(name.split())
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise UsageError(f"{name!r:.200} is not a name: give 1 to {MOST_NAME} printable characters")
    return name
