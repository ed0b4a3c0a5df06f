"""Clips that a browser sends, saved whole in the page's folder or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from avsep.errors import OutputError
from avsep.storage.files import partial_name

_LONGEST = 120
"""Bytes of a name without its ending; some more are added to it, and file systems take 255."""
_MOST_ALIKE = 1000
_BLOCK = 2**20
_ENDING = ".clip"
"""Of a clip that has none: without, the clip would have the name of the folder of its result."""


class TooLarge(Exception):
    """A clip is larger than the page takes."""


def clip_name(told: str) -> str:
    """A name of a file, never a path, that is as close to what the browser calls it as is safe."""
    told = unicodedata.normalize("NFC", told).replace("\\", "/").rpartition("/")[2]
    stem, dot, ending = told.rpartition(".")
    if not dot or not re.fullmatch(r"[A-Za-z0-9]{1,8}", ending):
        stem, ending = told, ""
    stem = re.sub(r"[^\w ()+,=@&'-]+", "_", stem).strip(" ._-'")
    stem = stem.encode()[:_LONGEST].decode(errors="ignore").strip()
    return (stem or "clip") + (f".{ending}" if ending else "")


async def save_clip(folder: Path, told: str, body: AsyncIterator[bytes], most: int) -> Path:
    """The clip in `folder`, under its name or one beside it that is still free.

    Raises TooLarge beyond `most` bytes, and OutputError where it cannot be written.
    """
    name = clip_name(told)
    partial = partial_name(folder / f"{secrets.token_hex(4)}.{name}", os.getpid())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        await _save(partial, body, most)
        target = _claim(folder, name)
        partial.replace(target)
        return target
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else "it cannot be written"
        raise OutputError(
            f"{name}: {what} ({error.strerror}). Nothing of it was kept; free some space, or start avsep page with"
            " another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


async def _save(partial: Path, body: AsyncIterator[bytes], most: int) -> None:
    size, waiting = 0, bytearray()
    with partial.open("xb") as file:
        async for block in body:
            size += len(block)
            if size > most:
                raise TooLarge
            waiting += block
            if len(waiting) >= _BLOCK:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        file.write(waiting)


def _claim(folder: Path, name: str) -> Path:
    """An empty file whose name, without the ending, neither a result nor a file has yet: talk.mp4 and talk.wav would
    have one result."""
    stem, ending = os.path.splitext(name)
    taken = {part for there in os.listdir(folder) for part in (there, os.path.splitext(there)[0])}
    for number in range(1, _MOST_ALIKE):
        free = stem if number == 1 else f"{stem} {number}"
        if free in taken:
            continue
        target = folder / (free + (ending or _ENDING))
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return target
    raise OutputError(f"{name}: there are {_MOST_ALIKE} clips of this name. Rename it")
