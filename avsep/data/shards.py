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
import itertools
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from avsep.data.casts.base import PoolCast
from avsep.data.corpus import SourcePool
from avsep.data.item import NO_LABEL, Item
from avsep.data.recipe import Recipe
from avsep.data.shard_files import Streamed, find_shards, read_shard
from avsep.embeddings.face import DIMENSIONS
from avsep.errors import InputError, UsageError
from avsep.signals import FRAME_RATE, LIP_SIZE
from avsep.storage.documents import read_text


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

    shards: a folder of .tar files or addresses with webdataset's braces, train-{000000..000099}.tar, on this machine or
    wherever fsspec reads from (https://, s3://, gs://, hf://: the packages are the user's).
    recipe: its cast is `Speakers` without voices, or `SoundEvents` without sounds. items: of an epoch over all workers
    and ranks; shards are read again and again until they are made. pool: utterances a worker holds (100 of 5 s take
    16 MB, with lips 130 MB). fresh: utterances read for each mixture. speakers: file with the name of a speaker in each
    line, as make_shards writes it (SPLIT-speakers.txt), which the labels of items number; without one all are -1.
    damaged: share of a reader's shards that may be left out because they cannot be read to their end, one at least;
    each is named in a warning. InputError where there are more.
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
        damaged: float = 0.05,
    ) -> None:
        super().__init__()
        if not 0 <= damaged <= 1:
            raise UsageError(f"damaged is {damaged}; it is a share of the shards, from 0 to 1")
        self.urls = find_shards(shards)
        if not isinstance(recipe.cast, PoolCast):
            raise UsageError(f"the cast of a stream must be Speakers or SoundEvents, not {type(recipe.cast).__name__}")
        self.shards, self.recipe, self.items, self.pool, self.fresh = shards, recipe, items, pool, fresh
        self.seed, self.damaged = seed, damaged
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
        mine = self.urls[share::shares]
        bad: dict[str, InputError] = {}
        for turn in itertools.count():
            order = np.random.default_rng((self.seed, epoch, turn)).permutation(len(mine))
            found = 0
            for url in (mine[n] for n in order if mine[n] not in bad):
                try:
                    for utterance in read_shard(url, self.recipe.sample_rate):
                        if not self.recipe.faces or all(utterance.has(name) for name in self.recipe.shows):
                            found += 1
                            yield utterance
                except InputError as error:
                    # What was read of it stays; from the next time round on it is left out.
                    bad[url] = error
                    self._note(bad, len(mine))
            if not found:
                what = f"utterances with {' and '.join(self.recipe.shows)}" if self.recipe.faces else "utterances"
                raise InputError(f"{self.shards}: no {what} in {', '.join(mine)}")

    def _note(self, bad: dict[str, InputError], count: int) -> None:
        """Name the shard that was damaged last. InputError where too many are."""
        errors = [str(error) for error in bad.values()]
        if len(bad) == count or len(bad) > max(1, self.damaged * count):
            remote = any("://" in url for url in bad)
            raise InputError(
                f"{len(bad)} of {count} shards cannot be read, more than damaged={self.damaged:g} allows: "
                f"{'; '.join(errors)}. {'Check the network, or make' if remote else 'Make'} them anew "
                "(preprocessing.make_shards)"
            )
        warnings.warn(f"left out from here on: {errors[-1]}", stacklevel=2)


def _read_names(file: Path) -> list[str]:
    if not file.is_file():
        raise InputError(f"{file}: no such list of speakers. preprocessing.make_shards writes SPLIT-speakers.txt")
    try:
        return read_text(file).splitlines()
    except ValueError as error:
        raise InputError(f"{file}: is no list of speakers: {error}") from error
