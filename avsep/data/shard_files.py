"""Reading shards: where they are, and the utterances in one.

Files are opened by fsspec, so that they may lie on a disk, a web server or an object store. Nothing is run to fetch
them, as webdataset would, which hands addresses to curl, gsutil or a shell; but with avsep fit --allow-pipe an address
may be a command (pipe:).
"""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from avsep.data.addresses import check_addresses, is_command
from avsep.embeddings.face import DIMENSIONS
from avsep.errors import InputError, UsageError
from avsep.media.checks import check_sound
from avsep.safe_text import one_line
from avsep.signals import LIP_SIZE
from avsep.storage.damaged import refused

MAKE = "Make some with: python -m preprocessing.make_shards"
ENDS = (".tar", ".tar.gz", ".tgz")
"""Of the names of shards."""

AGAIN_SECONDS = 1.0
"""Until an address that failed is opened again."""


@dataclass(frozen=True, eq=False)
class Streamed:
    """One utterance in memory. samples: (time,) int16. pictures: (n, 96, 96) uint8, the first of them at number `first`
    of the grid, or None. face: (n, 512) float32, the embeddings of the face in them, or None."""

    speaker: str
    samples: np.ndarray
    seconds: float
    pictures: np.ndarray | None
    first: int = 0
    face: np.ndarray | None = None

    def has(self, shown: str) -> bool:
        """Whether it has "lips", or embeddings of the "face"."""
        return (self.pictures if shown == "lips" else self.face) is not None


def find_shards(shards: str) -> list[str]:
    """The addresses that a folder or a pattern with braces stands for. Raises InputError when there is none, UsageError
    for addresses that cannot be read, and for a shell command that was not allowed."""
    from braceexpand import braceexpand

    urls = [shards] if Path(shards).is_dir() else list(braceexpand(shards))
    check_addresses(urls)
    urls = [found for url in urls for found in ([url] if is_command(url) or _is_shard(url) else _files_in(url))]
    missing = [url for url in urls if "://" not in url and not is_command(url) and not Path(url).is_file()]
    if missing:
        raise InputError(f"{missing[0]}: no such shard. {MAKE}")
    if not urls:
        raise InputError(f"{shards}: no .tar files in it. {MAKE}")
    if not is_command(urls[0]):
        _file_system(urls[0])
    return urls


def _is_shard(url: str) -> bool:
    """Whether an address is that of a file rather than a folder; signed ones go on behind its name (a.tar?token=...).
    Of a chain (simplecache::https://...) the first part that names a file tells."""
    parts = url.split("::")
    name = next((part for part in parts if "://" in part), parts[-1])
    try:
        path = urlsplit(name).path if "://" in name else name
    except ValueError:  # brackets that are no address of a machine
        path = name
    return path.endswith(ENDS) or name.endswith(ENDS)


def _files_in(folder: str) -> list[str]:
    files, place = _file_system(folder)
    try:
        # Not by a pattern: the folder's own name may hold its characters.
        found = sorted(files.ls(place, detail=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:  # every file system has errors of its own
        raise InputError(f"{folder}: cannot be listed: {one_line(error)}") from error
    found = [files.unstrip_protocol(file) if "://" in folder else file for file in found]
    return [file for file in found if _is_shard(file) and not file.rpartition("/")[2].startswith(".")]


def _file_system(url: str) -> tuple[Any, str]:
    """fsspec's, and what it calls the address. Raises UsageError that names the package that is missing, and InputError
    where it cannot be reached."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"{url}: {one_line(error)}") from error
    except ValueError as error:
        known = ", ".join(sorted(fsspec.available_protocols()))
        raise UsageError(f"{url}: {one_line(error)}. Known: {known}") from error
    except Exception as error:  # some file systems ask their server right away
        raise InputError(f"{url}: cannot be opened: {one_line(error)}. Check the address and the network") from error


def _opened(url: str) -> IO[bytes]:
    if is_command(url):
        from webdataset.gopen import gopen

        return gopen(url, "rb")
    files, path = _file_system(url)
    return files.open(path, "rb")


def read_shard(url: str, sample_rate: int) -> Iterator[Streamed]:
    """The utterances of a shard, from its start to its end. Raises InputError that names it where it is damaged, or
    gone; those before are given. A network may fail for a moment: an address is opened a second time, and goes on
    behind what was given."""
    given = 0
    for last in (False, True) if "://" in url and not is_command(url) else (True,):
        try:
            for sample in itertools.islice(_samples(url), given, None):
                given += 1
                yield decode(sample, url, sample_rate)
            return
        except InputError:
            raise
        except Exception as error:
            if last:
                raise InputError(f"{url}: cannot be read: {one_line(error)}") from error
        time.sleep(AGAIN_SECONDS)


def _samples(url: str) -> Iterator[dict[str, Any]]:
    """The files of each utterance by the ends of their names."""
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    with _opened(url) as file:
        yield from group_by_keys({**part, "__url__": url} for part in tar_file_iterator(file))


def decode(sample: dict[str, Any], url: str, sample_rate: int) -> Streamed:
    """An utterance from the bytes of its files in a shard. Raises InputError that names shard and key."""
    with refused(f"{url}, {sample.get('__key__')}: no utterance", "An utterance is a flac, a json and perhaps an npz"):
        about = json.loads(sample["json"])
        samples, rate = sf.read(io.BytesIO(sample["flac"]), dtype="int16")
        check_sound(Path(f"{url}, {sample.get('__key__')}"), rate, 1)
        if samples.ndim > 1 or not len(samples):
            raise ValueError(f"sound of shape {samples.shape}")
        if rate != sample_rate:
            divisor = int(np.gcd(rate, sample_rate))
            exact = resample_poly(samples.astype(np.float32), sample_rate // divisor, rate // divisor)
            samples = np.clip(np.round(exact), -32768, 32767).astype(np.int16)
        pictures, face, first = None, None, 0
        if "npz" in sample:
            with np.load(io.BytesIO(sample["npz"])) as data:
                pictures, first = _rows(data["lips"], (LIP_SIZE, LIP_SIZE), np.uint8), int(data["first"])
                face = _rows(data["face"], (DIMENSIONS,), np.float32) if "face" in data else None
        return Streamed(str(about["speaker"]), samples, len(samples) / sample_rate, pictures, first, face)


def _rows(array: np.ndarray, shape: tuple[int, ...], kind: type) -> np.ndarray:
    """The array, one row for each picture. Raises ValueError for one of another shape or kind."""
    if array.shape[1:] != shape or array.dtype != kind:
        raise ValueError(
            f"an array is {array.shape} {array.dtype}, not (n, {', '.join(map(str, shape))}) {np.dtype(kind)}"
        )
    return array
