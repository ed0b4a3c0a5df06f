"""Folders as avsep leaves them, without the separation."""

from __future__ import annotations

import json
from pathlib import Path

from avsep import __version__


def write_results(folder: Path, *files: str, manifest: str = "manifest.json") -> None:
    """A manifest that lists `files`, and these, each of which holds its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_text(name)
    (folder / manifest).write_text(json.dumps({"format": 1, "avsep_version": __version__, "files": files}))
