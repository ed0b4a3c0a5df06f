"""The voices of a result as sound, read in pieces: memory stays flat however long they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from avsep.data.sound_file import SoundReader
from avsep.dsp.resample import CONTEXT_SECONDS, resample
from avsep.errors import InputError
from avsep.results.result import Result, Span
from avsep.signals import FRAME_RATE, SAMPLE_RATE, ProgressHook, no_progress, pictures_in


@dataclass(frozen=True, eq=False)
class Overview:
    """What all measures need of whole tracks, on the picture grid.

    power: (tracks, pictures), the mean of the squares. spoken: (tracks, pictures) bool, by the manifest. products:
    (seconds, tracks, tracks), of each second the sums of one track times another, each without its mean there, as an
    offset is no sound that two tracks share. seconds: their length.
    """

    power: np.ndarray
    spoken: np.ndarray
    products: np.ndarray
    seconds: float

    @property
    def pictures(self) -> int:
        return self.power.shape[1]


class VoiceSounds:
    """The open files of the voices of a result; in each the mean of its channels, of an array the first.

    Raises InputError for a file that is gone, no sound, or not as long and of the same rate as the others.
    """

    def __init__(self, result: Result) -> None:
        self.tracks = [track for track in result.tracks if track.is_voice]
        options = result.manifest.get("options")
        self._first = isinstance(options, dict) and options.get("channels") == "all"
        with ExitStack() as stack:
            self._files = [stack.enter_context(SoundReader(track.audio)) for track in self.tracks]
            self._stack = stack.pop_all()
        for file in self._files:
            first = self._files[0]
            if (file.sample_rate, file.frames) != (first.sample_rate, first.frames):
                self._stack.close()
                raise InputError(
                    f"{file.path}: has {file.frames} samples at {file.sample_rate} Hz, expected {first.frames} at "
                    f"{first.sample_rate} Hz as {first.path.name}. Separate the clip again with --overwrite"
                )
        self.rate = self._files[0].sample_rate if self._files else SAMPLE_RATE
        self.frames = self._files[0].frames if self._files else 0

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, track: int, start: float, end: float) -> np.ndarray:
        """(time,) float32 at SAMPLE_RATE of a stretch of a track, in seconds."""
        first, last = round(start * self.rate), round(end * self.rate)
        edge = 0 if self.rate == SAMPLE_RATE else math.ceil(CONTEXT_SECONDS * self.rate)
        before = min(edge, first)
        wide = resample(self._samples(track, first - before, last + edge), self.rate, SAMPLE_RATE)
        begin = round(before * SAMPLE_RATE / self.rate)
        return wide[begin : begin + round((last - first) * SAMPLE_RATE / self.rate)]

    def joined(self, track: int, spans: Sequence[Span]) -> np.ndarray:
        """(time,) at SAMPLE_RATE: the spans of a track one after the other."""
        return np.concatenate([np.zeros(0, np.float32), *(self.read(track, *span) for span in spans)])

    def overview(self, progress: ProgressHook = no_progress) -> Overview:
        """One reading of all tracks, a second at a time."""
        count = len(self.tracks)
        power = np.zeros((count, pictures_in(self.frames, self.rate)), np.float32)
        products = np.zeros((-(-self.frames // self.rate), count, count), np.float32)
        for number in range(len(products)):
            block = np.stack([self._samples(n, number * self.rate, (number + 1) * self.rate) for n in range(count)])
            centred = block - block.mean(axis=1, keepdims=True)
            products[number] = centred @ centred.T
            # Pictures need not be a whole number of samples.
            edges = np.arange(0, block.shape[1] * FRAME_RATE, self.rate) // FRAME_RATE
            sums = np.add.reduceat(block.astype(np.float64) ** 2, edges, axis=1)
            sizes = np.diff([*edges, block.shape[1]])
            at = number * FRAME_RATE
            power[:, at : at + len(edges)] = sums / sizes
            progress("levels", min(number + 1.0, self.seconds), self.seconds)
        return Overview(power, self._spoken(power.shape[1]), products, self.seconds)

    def _samples(self, track: int, first: int, last: int) -> np.ndarray:
        """(time,) at the file's rate; shorter at the end of the file."""
        samples = self._files[track].read(first, last)
        if not np.isfinite(samples).all():
            raise InputError(
                f"{self._files[track].path}: has samples that are not finite numbers. Separate the clip again with "
                "--overwrite"
            )
        return samples[:, 0] if self._first else samples.mean(axis=1)

    def _spoken(self, pictures: int) -> np.ndarray:
        spoken = np.zeros((len(self.tracks), pictures), bool)
        for row, track in zip(spoken, self.tracks, strict=True):
            for start, end in track.speaking or ():
                row[round(start * FRAME_RATE) : round(end * FRAME_RATE)] = True
        return spoken


def spans_of(pictures: np.ndarray) -> list[Span]:
    """(pictures,) bool -> where it holds, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], pictures, [False]]).astype(np.int8)))
    return [Span(a / FRAME_RATE, b / FRAME_RATE) for a, b in edges.reshape(-1, 2).tolist()]
