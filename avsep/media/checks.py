"""What is looked at before a file is read: whether it is one (of a pipe, a library would wait for the writer, and a
device has no end), and whether its header tells of sound that can be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from avsep.errors import InputError

_KINDS = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}

MOST_RATE = 3_000_000
"""Hz; converters and DSD stay below."""
MOST_SAMPLES = 50_000_000
"""A second, over all channels: 256 of them at 192 kHz. Sound is read in blocks of a second."""


def check_plain_file(path: Path) -> None:
    """Raise InputError for what is missing, a folder, pipe, socket or device, empty, or not to be read."""
    try:
        found = path.stat()
    except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{path}: no such file. Check the name and the folder") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be looked at ({error.strerror}). Check the name and the folder") from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: is a folder, not a media file. Name the files in it, e.g. {path / '*.mp4'}")
    if kind := _KINDS.get(stat.S_IFMT(found.st_mode)):
        raise InputError(
            f"{path}: is a {kind}, and what comes out of it can be read once only. Write it to a file first, and give"
            " that file"
        )
    if not found.st_size and not _holds_a_byte(path):
        raise InputError(f"{path}: is empty (0 bytes). Copy or download it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read (Permission denied). Check its permissions")


def check_sound(path: Path, sample_rate: int, channels: int) -> None:
    """Raise InputError for a sample rate in Hz, or a number of channels, that no recording has."""
    if not (0 < sample_rate <= MOST_RATE and channels > 0 and sample_rate * channels <= MOST_SAMPLES):
        raise InputError(
            f"{path}: its header tells of {channels} channel(s) at {sample_rate} Hz; at most {MOST_RATE:,} Hz and"
            f" {MOST_SAMPLES:,} samples a second in all are read. The header is damaged: get the file again"
        )


def _holds_a_byte(path: Path) -> bool:
    """Whether a file whose size is told as 0 holds something, as those of /proc do."""
    try:
        with path.open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
