"""Files that change while they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from media_factory import tone, write_media

from avsep.errors import InputError, OutputError
from avsep.media.decode import ClipInfo, probe
from avsep.media.unchanged import unchanged

TOLD = r"a\.wav: was changed or replaced while it was read.*Nothing was written; run it again"


@pytest.fixture
def clip(tmp_path: Path) -> ClipInfo:
    return probe(write_media(tmp_path / "a.wav", sound=tone(0.5), sound_codec="pcm_s16le"))


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def write_over(path: Path) -> None:
    """Other content of the same size at the same time."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replace(path: Path) -> None:
    """Another file of the same size and time under the same name."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def change_and_fail(path: Path, error: BaseException) -> None:
    append(path)
    raise error


@pytest.mark.parametrize("change", [append, write_over, replace, Path.unlink])
def test_a_file_that_changes_is_told(clip: ClipInfo, change: Callable[[Path], None]) -> None:
    with pytest.raises(InputError, match=TOLD), unchanged(clip):
        change(clip.path)


def test_a_file_that_changed_after_it_was_probed_is_told(clip: ClipInfo) -> None:
    replace(clip.path)
    with pytest.raises(InputError, match=TOLD), unchanged(clip):
        pytest.fail("the work is begun")


def test_a_file_that_stays_gives_its_checksum(clip: ClipInfo) -> None:
    with unchanged(clip) as checksum:
        os.utime(clip.path)  # touched, as a copy over itself would be
    assert checksum == hashlib.sha256(clip.path.read_bytes()).hexdigest()


@pytest.mark.parametrize("error", [InputError("damaged"), IndexError(3)])
def test_what_a_change_led_to_is_told_as_the_change(clip: ClipInfo, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, unchanged(clip):
        raise error
    assert raised.value is error
    with pytest.raises(InputError, match=TOLD), unchanged(clip):
        change_and_fail(clip.path, error)


@pytest.mark.parametrize("error", [OutputError("the disk is full"), KeyboardInterrupt()])
def test_other_errors_are_left(clip: ClipInfo, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, unchanged(clip):
        change_and_fail(clip.path, error)
    assert raised.value is error
