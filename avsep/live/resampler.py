"""Another sample rate, piece by piece: joined, the pieces are what `avsep.dsp.resample` gives for the whole."""

from __future__ import annotations

import math

import numpy as np

HALF_WIDTH = 10
"""Of the filter, in samples of the lower rate: that of scipy's `resample_poly`."""
KAISER_BETA = 5.0
"""Of its window, the same."""
MOST_PHASES = 2048
"""Of the filter that are kept. Rates with a small common divisor have up to as many phases as the higher one has Hz;
theirs are interpolated, which is wrong by 1e-7."""


class StreamResampler:
    """Samples (channels, time) float32 at `rate` in pieces of any length -> pieces at `new_rate`, with one phase from
    beginning to end and no delay: output n is at n / new_rate.

    wait_seconds: by which a sample must be followed before it can be given.
    """

    def __init__(self, rate: int, new_rate: int, channels: int = 1) -> None:
        divisor = math.gcd(rate, new_rate)
        self.up, self.down = new_rate // divisor, rate // divisor
        self.fed = self.given = 0
        self.wait_seconds = 0.0
        self.past = np.zeros((channels, 0), np.float32)
        if rate == new_rate:
            return
        self.half = HALF_WIDTH * max(self.up, self.down)
        self.reach = (2 * self.half + 1) // self.up + 1
        self.phases = self._table(min(self.up, MOST_PHASES))
        self.past = np.zeros((channels, self.reach), np.float32)
        self.wait_seconds = self.half / (self.up * rate)

    def feed(self, x: np.ndarray) -> np.ndarray:
        """(channels, time) -> (channels, what is ready)."""
        if self.up == self.down:
            return x
        self.fed += x.shape[1]
        # Output n needs the inputs up to (n * down + half) // up.
        ready = -((self.half - self.fed * self.up) // self.down)
        return self._filter(x, max(self.given, ready))

    def finish(self) -> np.ndarray:
        """The end: what was held back, so that ceil(fed * new_rate / rate) samples are given in all."""
        channels = len(self.past)
        if self.up == self.down:
            return np.zeros((channels, 0), np.float32)
        total = -(-self.fed * self.up // self.down)
        self.fed += self.reach
        return self._filter(np.zeros((channels, self.reach), np.float32), total)

    def _filter(self, x: np.ndarray, until: int) -> np.ndarray:
        joined = np.concatenate([self.past, x], axis=1)
        if until == self.given:
            self.past = joined
            return joined[:, :0]
        before = self.fed - joined.shape[1]
        # Where the filter ends, and with which phase, for each output and for the next one.
        places = np.arange(self.given, until + 1) * self.down + self.half
        begin = places // self.up - (self.reach - 1) - before
        windows = np.lib.stride_tricks.sliding_window_view(joined, self.reach, axis=1)[:, begin[:-1]]
        self.given, self.past = until, joined[:, begin[-1] :].copy()
        if self.up < len(self.phases):
            return _products(windows, self.phases[places[:-1] % self.up])
        place = places[:-1] % self.up * ((len(self.phases) - 1) / self.up)
        row = place.astype(int)
        below, above = (_products(windows, self.phases[rows]) for rows in (row, row + 1))
        return below + (above - below) * (place - row).astype(np.float32)

    def _table(self, phases: int) -> np.ndarray:
        """The filter at each of so many phases and at the next whole one, latest sample last: (phases + 1, reach)."""
        width = self.half / self.up  # in samples that come in, as all times here
        times = np.arange(phases + 1)[:, None] / phases + np.arange(self.reach)[::-1] - width
        within = np.sqrt(np.clip(1 - (times / width) ** 2, 0, None))
        table = np.sinc(times * HALF_WIDTH / width) * np.i0(KAISER_BETA * within) * (np.abs(times) <= width)
        return (table * (phases / table[:-1].sum())).astype(np.float32)


def _products(windows: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(channels, n, reach), (n, reach) -> (channels, n)."""
    return np.einsum("cnt,nt->cn", windows, filters)
