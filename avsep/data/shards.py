"""Mixtures from tar files that stream past: for corpora that no disk of ours holds.

A shard is a tar of some hundred utterances: NUMBER.flac, NUMBER.npz (lips, where there are some) and NUMBER.json
(id, speaker, seconds). preprocessing.make_shards writes them. They are read from start to end, from a disk, an object
store or a web server, and with avsep fit --allow-pipe from a command (pipe:); utterances go through a pool, and
mixtures are made from that as they are from a whole corpus.

The format is webdataset's rather than litdata's: plain tar files, which any tool can write, list and check, which need
no index and no service, and whose reader adds one small package; litdata has a binary format of its own. What litdata
does better is to jump into the middle of an epoch: a stream that goes on there reads again what it read before, without
mixing it.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch
from scipy.signal import resample_poly
from torch.utils.data import IterableDataset, get_worker_info

from avsep.data.addresses import check_addresses, is_command
from avsep.data.casts.base import PoolCast
from avsep.data.corpus import SourcePool
from avsep.data.item import NO_LABEL, Item
from avsep.data.recipe import Recipe
from avsep.embeddings.face import DIMENSIONS
from avsep.errors import InputError, UsageError
from avsep.media.checks import check_sound
from avsep.signals import FRAME_RATE, LIP_SIZE
from avsep.storage.damaged import refused
from avsep.storage.documents import read_text


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


class Pool(SourcePool[Streamed]):
    """The utterances at hand; a new one takes the place of the oldest. numbers: labels of the speakers that have one.
    least: only speakers with so many utterances are drawn from."""

    def __init__(self, size: int, sample_rate: int, numbers: Mapping[str, int], least: int = 1) -> None:
        self.size, self.sample_rate, self.numbers, self.least = size, sample_rate, numbers, least
        self.order: list[Streamed] = []
        self.entries: dict[str, list[Streamed]] = {}
        self.names: list[str] = []

    def add(self, utterance: Streamed) -> None:
        self.order.append(utterance)
        self.entries.setdefault(utterance.speaker, []).append(utterance)
        if len(self.order) > self.size:
            oldest = self.order.pop(0)
            self.entries[oldest.speaker].remove(oldest)
            if not self.entries[oldest.speaker]:
                del self.entries[oldest.speaker]
        self.names = sorted(name for name, entries in self.entries.items() if len(entries) >= self.least)

    def label(self, name: str) -> int:
        return self.numbers.get(name, NO_LABEL)

    def sound(self, entry: Streamed, offset: int, count: int) -> np.ndarray:
        return entry.samples[None, offset : offset + count] * np.float32(1 / 32768)

    def lips(self, entry: Streamed, offset: int, pictures: int) -> np.ndarray:
        return self._shown(entry, entry.pictures, offset, np.zeros((pictures, LIP_SIZE, LIP_SIZE), np.uint8))

    def face(self, entry: Streamed, offset: int, pictures: int) -> np.ndarray:
        return self._shown(entry, entry.face, offset, np.zeros((pictures, DIMENSIONS), np.float32))

    def _shown(self, entry: Streamed, found: np.ndarray | None, offset: int, out: np.ndarray) -> np.ndarray:
        if found is not None:
            begin = round(offset * FRAME_RATE / self.sample_rate) - entry.first
            rows = found[max(0, begin) : max(0, begin + len(out))]
            out[max(0, -begin) : max(0, -begin) + len(rows)] = rows
        return out


class StreamedMixtures(IterableDataset):
    """Mixtures from shards. The order is drawn from `seed`, the epoch and the share of shards a worker reads: the same
    on as many workers and ranks, another on more or fewer.

    shards: a folder of .tar files, or addresses with webdataset's braces (https://host/train-{000000..000099}.tar).
    recipe: its cast is `Speakers` without voices, or `SoundEvents` without sounds. items: of an epoch over all workers
    and ranks; shards are read again and again until they are made. pool: utterances a worker holds (100 of 5 s take
    16 MB, with lips 130 MB). fresh: utterances read for each mixture. speakers: file with the name of a speaker in each
    line, as make_shards writes it (SPLIT-speakers.txt), which the labels of items number; without one all are -1.
    """

    def __init__(
        self,
        shards: str,
        recipe: Recipe,
        items: int = 20_000,
        pool: int = 200,
        fresh: int = 2,
        seed: int = 0,
        speakers: str | None = None,
    ) -> None:
        super().__init__()
        self.urls = find_shards(shards)
        if not isinstance(recipe.cast, PoolCast):
            raise UsageError(f"the cast of a stream must be Speakers or SoundEvents, not {type(recipe.cast).__name__}")
        self.shards, self.recipe, self.items, self.pool, self.fresh = shards, recipe, items, pool, fresh
        self.seed = seed
        self.names = [] if speakers is None else _read_names(Path(speakers))
        self.go_on(0)
        recipe.prepare(self._pool())

    def go_on(self, epoch: int, batches: int = 0, batch_size: int = 1) -> None:
        """Begin with this epoch, behind the `batches` of it that every process has had already."""
        self.epoch, self._batches, self._batch_size = epoch, batches, batch_size

    def epoch_batches(self, batch_size: int, workers: int, processes: int = 1) -> int:
        """Whole batches that each process gets in an epoch."""
        readers = max(1, workers)
        return self.items // (readers * processes) // batch_size * readers

    def __iter__(self) -> Iterator[Item]:
        share, shares, had = self._share()
        if len(self.urls) < shares:
            raise InputError(
                f"{self.shards}: {len(self.urls)} shards for {shares} readers (workers x processes). Make more and "
                f"smaller ones (preprocessing.make_shards --utterances), or set fewer workers"
            )
        epoch = self.epoch
        self.go_on(epoch + 1)
        stream = self._utterances(epoch, share, shares)
        pool, recipe = self._pool(), copy.copy(self.recipe)
        # Two loops over one data set have a pool each.
        recipe.cast = copy.copy(recipe.cast)
        recipe.prepare(pool)
        for _ in range(self.pool):
            pool.add(next(stream))
        for number in range(self.items // shares):
            rng = np.random.default_rng((self.seed, epoch, share, number))
            if len(pool.names) < recipe.cast.places:
                raise InputError(
                    f"{self.shards}: {len(pool.names)} speakers among {self.pool} utterances in a row, but a mixture "
                    f"has up to {recipe.cast.places}. Raise pool, or shuffle anew (preprocessing.make_shards)"
                )
            if number >= had:
                yield recipe.make(rng, f"{epoch}/{share}/{number}")
            for _ in range(self.fresh):
                pool.add(next(stream))

    def _pool(self) -> Pool:
        numbers = {name: number for number, name in enumerate(self.names)}
        least = 2 if "enrolment" in self.recipe.cue_names else 1
        pool = Pool(self.pool, self.recipe.sample_rate, numbers, least)
        pool.shows = self.recipe.shows
        return pool

    def _share(self) -> tuple[int, int, int]:
        """Which reader this is, of how many (the workers of all processes), and how many items it has given already.

        Batches come from the workers in turn, beginning with the first, which therefore takes up the share of the one
        whose turn it was.
        """
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        rank, world = 0, 1
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        number = (number + self._batches) % workers
        given = -(-(self._batches - number) // workers) * self._batch_size
        return rank * workers + number, world * workers, given

    def _utterances(self, epoch: int, share: int, shares: int) -> Iterator[Streamed]:
        """This reader's share of the shards, in another order each time round, without end."""
        import webdataset

        mine = self.urls[share::shares]
        turn = 0
        while True:
            order = np.random.default_rng((self.seed, epoch, turn)).permutation(len(mine))
            found = 0
            for url in (mine[n] for n in order):
                # Addresses as they were checked: its lists of shards would look for braces in them once more.
                samples = webdataset.tariterators.tarfile_samples([{"url": url}])
                for sample in _whole(samples, url):
                    utterance = decode(sample, url, self.recipe.sample_rate)
                    if not self.recipe.faces or all(utterance.has(name) for name in self.recipe.shows):
                        found += 1
                        yield utterance
            if not found:
                what = f"utterances with {' and '.join(self.recipe.shows)}" if self.recipe.faces else "utterances"
                raise InputError(f"{self.shards}: no {what} in {', '.join(mine)}")
            turn += 1


def _whole(samples: Iterable[dict[str, Any]], url: str) -> Iterator[dict[str, Any]]:
    """What a reader of a shard gives. Raises InputError where it breaks off."""
    source = iter(samples)
    while True:
        with refused(f"{url}: the shard is damaged or cannot be reached", "Make it again, or copy it anew"):
            sample = next(source, None)
        if sample is None:
            return
        yield sample


def _read_names(file: Path) -> list[str]:
    if not file.is_file():
        raise InputError(f"{file}: no such list of speakers. preprocessing.make_shards writes SPLIT-speakers.txt")
    try:
        return read_text(file).splitlines()
    except ValueError as error:
        raise InputError(f"{file}: is no list of speakers: {error}") from error


def find_shards(shards: str) -> list[str]:
    """The addresses that a folder or a pattern stands for. Raises InputError when there is none, UsageError for a shell
    command that was not allowed."""
    folder = Path(shards)
    if folder.is_dir():
        urls = [str(path) for path in sorted(folder.glob("*.tar")) if not path.name.startswith(".")]
    else:
        import webdataset

        urls = webdataset.shardlists.expand_urls(shards)
        check_addresses(urls)
        missing = [url for url in urls if "://" not in url and not is_command(url) and not Path(url).is_file()]
        if missing:
            raise InputError(f"{missing[0]}: no such shard. Make some with: python -m preprocessing.make_shards")
    if not urls:
        raise InputError(f"{shards}: no .tar files in it. Make some with: python -m preprocessing.make_shards")
    return urls


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
