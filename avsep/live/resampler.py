"""Another sample rate, piece by piece: joined, the pieces are what `avsep.dsp.resample` gives for the whole."""

from __future__ import annotations

import math

import numpy as np

HALF_WIDTH = 10
"""Of the filter, in samples of the lower rate: that of scipy's `resample_poly`."""


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
        from scipy.signal import firwin  # takes a second to import

        factor = max(self.up, self.down)
        self.half = HALF_WIDTH * factor
        taps = (self.up * firwin(2 * self.half + 1, 1 / factor, window=("kaiser", 5.0))).astype(np.float32)
        self.reach = len(taps) // self.up + 1
        # One row for each phase, latest sample last: (up, reach).
        padded = np.pad(taps, (0, self.reach * self.up - len(taps)))
        self.phases = np.ascontiguousarray(padded.reshape(self.reach, self.up).T[:, ::-1])
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
        return np.einsum("cnt,nt->cn", windows, self.phases[places[:-1] % self.up])
