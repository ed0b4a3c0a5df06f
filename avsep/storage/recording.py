"""Sound on disk: a recording, and the estimates that were separated from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avsep.signals import Audio
from avsep.storage.spool import Spool


class Recording:
    """Sound of any length at one rate, in a file without a name: (channels, time) float32, full scale +-1.

    sample_rate in Hz. folder: where the file lies; None for the system's place for temporary files.
    """

    def __init__(self, folder: Path | str | None, channels: int, sample_rate: int) -> None:
        self.channels, self.sample_rate = channels, sample_rate
        self._spool = Spool(folder, (channels,), np.float32)

    @classmethod
    def of(cls, samples: np.ndarray, sample_rate: int, folder: Path | str | None = None) -> Recording:
        """Samples in memory, (channels, time) or (time,), as a recording."""
        samples = np.atleast_2d(samples)
        recording = cls(folder, len(samples), sample_rate)
        recording.append(samples)
        return recording

    def __len__(self) -> int:
        return len(self._spool)

    @property
    def seconds(self) -> float:
        return len(self) / self.sample_rate

    def append(self, samples: np.ndarray) -> None:
        """Add (channels, time)."""
        self._spool.append(samples.T)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples start..stop as (channels, n); the range is cut to what exists."""
        return np.ascontiguousarray(self._spool.read(start, stop).T)

    def blocks(self) -> Iterator[Audio]:
        """All of it in blocks of a second, the last one shorter."""
        for second, start in enumerate(range(0, len(self), self.sample_rate)):
            yield Audio(self.read(start, start + self.sample_rate), self.sample_rate, float(second))


class Estimates:
    """Sources that were separated, all as long as each other; their number may grow while they are written.

    of_array: whether the channels are microphones, the reference first, and not a stereo image.
    """

    def __init__(self, folder: Path | str | None, channels: int, sample_rate: int) -> None:
        self.channels, self.sample_rate, self._folder = channels, sample_rate, folder
        self.of_array = False
        self.sources: list[Recording] = []
        self._length = 0

    @classmethod
    def of(cls, estimates: np.ndarray, sample_rate: int, folder: Path | str | None = None) -> Estimates:
        """Estimates in memory, (sources, channels, time) or (sources, time)."""
        estimates = estimates[:, None] if estimates.ndim == 2 else estimates
        made = cls(folder, estimates.shape[1], sample_rate)
        made.append(estimates)
        return made

    @classmethod
    def joined(cls, *parts: Estimates) -> Estimates:
        """The sources of several, equally long and of one rate and number of channels; nothing is copied."""
        kinds = {(len(part), part.sample_rate, part.channels) for part in parts}
        if len(kinds) != 1:
            raise ValueError(f"estimates of one length, rate and number of channels expected, got {sorted(kinds)}")
        made = cls(None, parts[0].channels, parts[0].sample_rate)
        made.sources = [source for part in parts for source in part.sources]
        made._length = len(parts[0])
        return made

    def summed(self) -> Estimates:
        """All sources together as one."""
        made = Estimates(self._folder, self.channels, self.sample_rate)
        for start in range(0, len(self), self.sample_rate):
            made.append(self.read(start, start + self.sample_rate).sum(0, keepdims=True))
        made.of_array = self.of_array
        return made

    def __len__(self) -> int:
        """Samples."""
        return self._length

    @property
    def count(self) -> int:
        return len(self.sources)

    @property
    def seconds(self) -> float:
        return self._length / self.sample_rate

    def append(self, estimates: np.ndarray) -> None:
        """Add (sources, channels, time). Sources beyond those there are were silent until now; missing ones are."""
        _, channels, time = estimates.shape
        while self.count < len(estimates):
            source = Recording(self._folder, channels, self.sample_rate)
            for start in range(0, self._length, self.sample_rate):
                source.append(np.zeros((channels, min(self.sample_rate, self._length - start)), np.float32))
            self.sources.append(source)
        silence = np.zeros((channels, time), np.float32)
        for number, source in enumerate(self.sources):
            source.append(estimates[number] if number < len(estimates) else silence)
        self._length += time

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples start..stop as (sources, channels, n); the range is cut to what exists."""
        if not self.sources:
            return np.zeros((0, self.channels, max(0, min(stop, self._length) - max(0, start))), np.float32)
        return np.stack([source.read(start, stop) for source in self.sources])

    def mono(self, start: int, stop: int) -> np.ndarray:
        """The mean over channels, of an array the first: (sources, n). A mean of microphones would cancel part of what
        reaches them at different times."""
        found = self.read(start, stop)
        return found[:, 0] if found.shape[1] == 1 or self.of_array else found.mean(axis=1)
