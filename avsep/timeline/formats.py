"""All formats by name. What is imported here is light: the command line lists them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from avsep.errors import UsageError
from avsep.timeline.audacity import write_labels
from avsep.timeline.base import TimeLine
from avsep.timeline.captions import write_srt, write_vtt
from avsep.timeline.otio import write_otio
from avsep.timeline.reaper import write_project
from avsep.timeline.rttm import write_rttm
from avsep.timeline.tracks import write_mka, write_mp4


class Part(NamedTuple):
    """A file of a format. write: makes it; none where the result has nothing for it. needs_sound: whether the wav
    files must be there."""

    file: str
    write: Callable[[TimeLine, Path], None]
    needs_sound: bool = False


Parts = tuple[Part, ...]

FORMATS: dict[str, Parts] = {
    "rttm": (Part("timeline.rttm", write_rttm),),
    "vtt": (Part("timeline.vtt", write_vtt),),
    "srt": (Part("timeline.srt", write_srt),),
    "audacity": (Part("labels.txt", write_labels),),
    "otio": (Part("timeline.otio", write_otio, True),),
    "reaper": (Part("project.rpp", write_project, True),),
    "tracks": (Part("tracks.mka", write_mka, True), Part("tracks.mp4", write_mp4, True)),
}

CAPTIONS: dict[str, Parts] = {"vtt": (Part("captions.vtt", write_vtt),), "srt": (Part("captions.srt", write_srt),)}
"""Of these, in place of the above, where it is known what is said."""

USUAL = ("rttm", "vtt", "srt", "audacity", "reaper")
"""Those that need no extra and are small."""

_PACKAGES = {"otio": ("opentimelineio", "editors")}
"""What a format needs beyond avsep's own packages, and the extra that brings it."""


def check_formats(names: Iterable[str], known: Collection[str] = FORMATS) -> None:
    """Raise UsageError for a format that is not `known`, or whose package is missing."""
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r:.60} is no format here; choose from {', '.join(known)}")
        if not is_installed(name):
            package, extra = _PACKAGES[name]
            raise UsageError(f"the format {name} needs {package}: pip install 'avsep[{extra}]'")


def is_installed(name: str) -> bool:
    return name not in _PACKAGES or find_spec(_PACKAGES[name][0]) is not None


def written_before(folder: Path) -> list[str]:
    """The formats beyond `USUAL` whose files are in a result's folder, as far as their packages are installed."""
    there = [file for file in files_of(FORMATS) if (folder / file).exists()]
    return [name for name in formats_of(there) if name not in USUAL and is_installed(name)]


def formats_of(files: Collection[str]) -> list[str]:
    """The formats that write any of these files."""
    return [name for name, parts in FORMATS.items() if any(part.file in files for part in parts)]


def files_of(names: Iterable[str]) -> list[str]:
    """Names of the files that these formats may write."""
    return [part.file for name in names for part in FORMATS[name]]
