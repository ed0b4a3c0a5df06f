"""The head of a WAV that is a stream: read before its length is known, written before its length is known."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avsep.errors import InputError
from avsep.live import HIGHEST_RATE
from avsep.live.samples import FORMATS, SampleFormat
from avsep.media.checks import check_sound

UNKNOWN = 0xFFFF_FFFF
"""Size of a chunk that goes on to the end of the stream."""
ENDLESS = 0x7FFF_0000
"""Sizes from here on, of 2 GB and more, are what programs write that do not know the length (ffmpeg 0xffffffff, SoX
0x7ffff000)."""
LONGEST_HEAD = 1_000_000
"""Bytes before the sound: titles and the like."""

_KINDS = {(1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
_TAGS = {name: kind for kind, name in _KINDS.items()}
_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71".replace(" ", ""))


@dataclass(frozen=True)
class WavHead:
    """What a head tells. frames: None where the length is not known."""

    format: SampleFormat
    rate: int
    channels: int
    frames: int | None


def is_wav(start: bytes) -> bool:
    """Whether 12 bytes begin a WAV."""
    return start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE"


def read_head(read: Callable[[int], bytes]) -> WavHead:
    """What follows the first 12 bytes, up to the first sample. read(n): n bytes, fewer only at the end.

    Raises InputError for what is no PCM or float, of a rate or channels that cannot be, damaged, or ends in it.
    """
    left, found = LONGEST_HEAD, None
    long_size = None
    while True:
        name, size = struct.unpack("<4sI", _exactly(read, 8))
        if name == b"data":
            break
        left -= size
        if left < 0:
            raise InputError(
                f"standard input: the head of the WAV has more than {LONGEST_HEAD:,} bytes before the sound. It is"
                " damaged: write it again, e.g. with ffmpeg -i FILE -f wav -"
            )
        body = _exactly(read, size + size % 2)
        if name == b"fmt ":
            found = _format(body)
        elif name == b"ds64" and size >= 16:
            (long_size,) = struct.unpack_from("<Q", body, 8)
    if found is None:
        raise InputError("standard input: the WAV has no 'fmt ' chunk before its sound. It is damaged: write it again")
    sample_format, rate, channels = found
    length = long_size if size == UNKNOWN and long_size else None if size == 0 or size >= ENDLESS else size
    return WavHead(
        sample_format, rate, channels, None if length is None else length // (sample_format.width * channels)
    )


def write_head(sample_format: SampleFormat, rate: int, channels: int, frames: int | None = None) -> bytes:
    """A head of 44 bytes. frames: None, or more than a WAV can tell, for a length that is not known."""
    tag, bits = _TAGS[sample_format.name]
    block = channels * sample_format.width
    size = UNKNOWN if frames is None or frames * block + 36 >= UNKNOWN else frames * block
    riff = UNKNOWN if size == UNKNOWN else size + 36 + size % 2
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, min(UNKNOWN, rate * block), block, bits)
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + chunk + struct.pack("<4sI", b"data", size)


def _format(body: bytes) -> tuple[SampleFormat, int, int]:
    if len(body) < 16:
        raise InputError("standard input: the 'fmt ' chunk of the WAV is too short. It is damaged: write it again")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        (tag,) = struct.unpack_from("<H", body, 24)
    name = _KINDS.get((tag, bits))
    if name is None:
        raise InputError(
            f"standard input: the WAV has samples of kind {tag:#x} with {bits} bits; read are PCM of 16, 24 and 32 bits"
            " and floats of 32 and 64. Convert it: ffmpeg -i FILE -c:a pcm_s16le -f wav -"
        )
    check_sound(Path("standard input"), rate, channels)
    if rate > HIGHEST_RATE:
        raise InputError(
            f"standard input: the WAV is at {rate} Hz; up to {HIGHEST_RATE} Hz are read. Convert it: ffmpeg -i FILE -ar"
            " 48000 -f wav -"
        )
    return FORMATS[name], rate, channels


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    data = read(count)
    if len(data) < count:
        raise InputError("standard input: the WAV ends before its first sample. Look at what writes it")
    return data
