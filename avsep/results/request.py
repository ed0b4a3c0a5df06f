"""What a separation is asked for, by which it is known whether a result is what it would give again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsep.errors import OutputError
from avsep.media.unchanged import FileState, sha256
from avsep.modes.base import Options
from avsep.output import manifest
from avsep.output.checksums import checksums
from avsep.results.result import Result, read_result

OF_THE_RUN = ("overwrite",)
"""Options that change whether a clip is separated, not what comes out."""


@dataclass(frozen=True)
class Request:
    """The same for any clip. options and checksums: as manifests have them."""

    options: dict[str, Any]
    checksums: dict[str, str]

    @staticmethod
    def of(options: Options, model: str | None) -> Request:
        return Request(manifest.options(options, model), checksums(options, model))

    def result(self, folder: Path, clip: Path) -> Result:
        """The result in a folder, where it is that of this clip, separated in this way, with all of its files; tracks
        may have got other names since. Raises InputError where there is none, and OutputError that tells what differs.
        """
        found = read_result(folder)
        differs = self._difference(found, clip)
        if differs:
            raise OutputError(
                f"{folder}: exists already, and {differs}. Replace it with --overwrite, or choose another folder with"
                " -o"
            )
        return found

    def _difference(self, found: Result, clip: Path) -> str:
        told = found.manifest
        if not _same_file(clip, told["input"]):
            return f"was made of another file than {clip} is now"
        options = told.get("options")
        options = options if isinstance(options, dict) else {}
        for name, now in self.options.items():
            if name not in OF_THE_RUN and (name not in options or options[name] != now):
                return f"was made with other options ({name}: {options.get(name)!s:.100} then, {now} now)"
        if told.get("checksums") != self.checksums:
            return "the weights, or a file that the options name, were others"
        files = [found.residual, *(file for one in found.tracks for file in (one.audio, one.video, one.thumbnail))]
        gone = [file.name for file in files if file is not None and not file.is_file()]
        return f"{gone[0]} is not there any more" if gone else ""


def _same_file(clip: Path, told: dict[str, Any]) -> bool:
    """By size and time of change, or where these differ by its checksum."""
    try:
        now = FileState.of(clip)
        if (now.size, now.modified_ns) == (told.get("size_bytes"), told.get("modified_ns")):
            return True
        return told.get("sha256") is not None and sha256(clip) == told["sha256"]
    except OSError:
        return False
