"""Which clips are named: files, folders with all that lies below them, and patterns."""

from __future__ import annotations

import fnmatch
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avsep.errors import AvsepError, InputError
from avsep.media.formats import SUFFIXES

MAGIC = "*?["
"""Characters that make a name a pattern where there is no file of that name."""

KINDS_SHOWN = 5
"""Suffixes of files that are left out."""

Pattern = tuple[str, ...]
"""What the names on the way to a file have to match; "**" stands for any number of folders."""


@dataclass(frozen=True)
class Input:
    """A clip, or what was named and gives none. place: where below the output its folder goes: the folders between the
    one that was searched and the clip. error: why there is nothing to separate."""

    path: Path
    place: Path = Path()
    error: AvsepError | None = None


def is_search(named: Path) -> bool:
    """Whether a folder or a pattern is named, not a file."""
    return named.is_dir() or (any(sign in str(named) for sign in MAGIC) and not os.path.lexists(named))


def find_inputs(named: Sequence[Path], output: Path, say: Callable[[str], None]) -> list[Input]:
    """The clips in the order of the names, those of a folder sorted, each once; what is left out is said.

    Below a folder files with a suffix of sound or video count. Left out are hidden files and folders, results of avsep,
    the output folder, and links to folders. What cannot be searched, or holds no clips, is an Input with an error.
    """
    found: dict[str, Input] = {}
    for path in named:
        for each in _search(path, output, say) if is_search(path) else [Input(path)]:
            found.setdefault(os.path.abspath(each.path), each)
    return list(found.values())


def _search(named: Path, output: Path, say: Callable[[str], None]) -> list[Input]:
    root, pattern = (named, ()) if named.is_dir() else _taken_apart(named)
    if not root.is_dir():
        return [
            Input(named, error=InputError(f"{named}: nothing matches, as there is no folder {root}. Check the name"))
        ]
    search = _Search(root, pattern, output)
    search.run()
    clips = sum(each.error is None for each in search.found)
    left_out = search.left_out()
    if clips and left_out:
        say(f"{named}: {_count(clips, 'clip')}; left out: {left_out}")
    if not search.found:
        nothing = "no clip matches" if pattern else "is a folder without clips"
        but = f", there is only {left_out}" if left_out else ""
        search.found.append(
            Input(named, error=InputError(f"{named}: {nothing}{but}. Name the files, or another folder or pattern"))
        )
    return search.found


def _taken_apart(named: Path) -> tuple[Path, Pattern]:
    """The folder in which a pattern begins, and the rest of it."""
    parts = named.parts
    first = next(number for number, part in enumerate(parts) if any(sign in part for sign in MAGIC))
    return Path(*parts[:first]), parts[first:]


@dataclass
class _Search:
    """One folder searched. found: its clips, and the folders that cannot be read."""

    root: Path
    pattern: Pattern
    output: Path
    found: list[Input] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    results: int = 0
    links: int = 0
    at_output: bool = False

    def run(self) -> None:
        own = Path(os.path.relpath(os.path.realpath(self.output), os.path.realpath(self.root)))
        # Names below the root, the next one last. A list, as folders may be nested deeper than functions.
        waiting = [(Path(), True, _closed({0}, self.pattern))]
        while waiting:
            place, is_folder, states = waiting.pop()
            if not is_folder:
                self._add(place)
            elif place == own != Path():
                self.at_output = True
            else:
                waiting += reversed(self._below(place, states))

    def _below(self, place: Path, states: set[int]) -> list[tuple[Path, bool, set[int]]]:
        """What is to be looked at in a folder, sorted; nothing where it is a result."""
        from avsep.output.ownership import own_files

        folder, below = self.root / place, []
        try:
            if own_files(folder):
                self.results += 1
                return []
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    after = _step(states, entry.name, self.pattern)
                    if entry.name.startswith(".") or not after:
                        continue
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if not is_folder and os.path.isdir(entry.path):  # a link may lead anywhere, and round in circles
                        self.links += 1
                    elif is_folder or len(self.pattern) in after:
                        below.append((place / entry.name, is_folder, after))
        except OSError as error:
            why = f"{folder}: cannot be searched ({error.strerror}). Check its permissions"
            self.found.append(Input(folder, error=InputError(why)))
            return []
        return below

    def _add(self, place: Path) -> None:
        file = self.root / place
        if _is_media(file):
            self.found.append(Input(file, place.parent))
        else:
            self.others[file.suffix.lower()[:10]] += 1

    def left_out(self) -> str:
        said = []
        if count := self.others.total():
            kinds = [kind or "no suffix" for kind, _ in self.others.most_common(KINDS_SHOWN)]
            more = ", ..." if len(self.others) > KINDS_SHOWN else ""
            said.append(f"{_count(count, 'file')} not called like sound or video ({', '.join(kinds)}{more})")
        if self.results:
            said.append(f"{_count(self.results, 'folder')} of results")
        if self.at_output:
            said.append(f"the output folder {self.output}")
        if self.links:
            said.append(f"{_count(self.links, 'link')} to folders")
        return ", ".join(said)


def _is_media(file: Path) -> bool:
    """By the name: one that is broken is an input that fails, not one that is left out."""
    suffix = file.suffix.lower()
    # A link that leads nowhere is such an input, too; pipes and devices are none.
    if suffix not in SUFFIXES or not (file.is_file() or file.is_symlink()):
        return False
    return suffix != ".ts" or not _is_text(file)


def _is_text(file: Path) -> bool:
    """Whether a .ts is a program in TypeScript, no transport stream."""
    try:
        with file.open("rb") as stream:
            head = stream.read(4096)
            return bool(head) and b"\0" not in head
    except OSError:
        return False


def _step(states: set[int], name: str, pattern: Pattern) -> set[int]:
    """Where in a pattern one is after another name; at its end everything below matches."""
    after = set()
    for at in states:
        if at == len(pattern) or pattern[at] == "**":
            after.add(at)
        elif fnmatch.fnmatchcase(name, pattern[at]):
            after.add(at + 1)
    return _closed(after, pattern)


def _closed(states: set[int], pattern: Pattern) -> set[int]:
    """With the places behind each "**", which may stand for no folder."""
    for at in list(states):
        while at < len(pattern) and pattern[at] == "**":
            at += 1
            states.add(at)
    return states


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
