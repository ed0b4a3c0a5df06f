"""Which files of a folder avsep wrote. What a manifest says proves it; its name alone does not."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from avsep.storage.documents import read_json


class Kind(NamedTuple):
    """A kind of results. command: what writes them. manifests: files that can prove them. result: names that a new
    run may write."""

    command: str
    manifests: tuple[str, ...]
    result: re.Pattern[str]

    def with_files(self, names: Iterable[str]) -> Kind:
        """The same for a run that may write these files, too."""
        return self._replace(result=re.compile("|".join([self.result.pattern, *map(re.escape, names)])))


SEPARATION = Kind(
    "avsep separate or avsep faces",
    ("manifest.json", "people.json"),
    re.compile(r"(manifest|people|faces)\.json|residual\.wav|(speaker|source)_\d+\.(wav|mp4|jpg)"),
)
EVALUATION = Kind("avsep evaluate", ("summary.json",), re.compile(r"summary\.json|results\.csv"))

_ENTRIES = ("speakers", "tracks", "people")
"""Lists of a manifest whose entries name files."""
_FILES = ("audio", "video", "thumbnail")
"""What such an entry calls its files."""


def own_files(folder: Path, kind: Kind = SEPARATION) -> set[str]:
    """Names of the files in `folder` that avsep wrote: its manifests and what they list. Empty where no manifest is
    avsep's."""
    files = {entry.name for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)}
    own: set[str] = set()
    for name in files.intersection(kind.manifests):
        listed = _listed(folder / name)
        if listed is not None:
            own |= {name, *listed}
    return own & files


def foreign_files(folder: Path, kind: Kind = SEPARATION) -> list[str]:
    """Names of everything else in `folder`, hidden files and folders included, sorted."""
    return sorted(set(os.listdir(folder)) - own_files(folder, kind))


def _listed(path: Path) -> set[str] | None:
    """The files a manifest names; None where it is not one of avsep.

    A list `files` counts and, for manifests without one, the files of each speaker and the residual.
    """
    if not path.is_file():  # a pipe would keep us waiting
        return None
    try:
        document = read_json(path)
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or type(document.get("format")) is not int:
        return None
    lists = {key: document[key] for key in ("files", *_ENTRIES) if isinstance(document.get(key), list)}
    if not isinstance(document.get("avsep_version"), str) or not lists:
        return None
    named: list[Any] = [*lists.pop("files", []), document.get("residual")]
    for entry in itertools.chain.from_iterable(lists.values()):
        if isinstance(entry, dict):
            named += [entry.get(key) for key in _FILES]
    # Names only: a path would lead out of the folder.
    return {name for name in named if isinstance(name, str) and name == Path(name).name}
