"""Files as one zip archive, written while it is sent."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from avsep.page.catalog import open_plain

_BLOCK = 2**18


class _Sink:
    """What the archive writes until it is sent; a pipe to zipfile, as nothing is ever gone back to."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def write(self, data: bytes) -> int:
        self.waiting += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = bytes(self.waiting)
        self.waiting.clear()
        return taken


def zipped(files: Sequence[Path]) -> Iterator[bytes]:
    """The archive of `files` piece by piece, not compressed: sound and video hardly shrink."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for file in files:
            with os.fdopen(open_plain(file), "rb") as source:
                when = time.localtime(max(os.fstat(source.fileno()).st_mtime, 315_619_200))[:6]  # zip begins in 1980
                with archive.open(zipfile.ZipInfo(file.name, when), "w", force_zip64=True) as entry:
                    while block := source.read(_BLOCK):
                        entry.write(block)
                        yield sink.take()
    yield sink.take()
