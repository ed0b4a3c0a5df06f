"""Channels of an array that are no use: dead, copied from another, clipped, or too late."""

from __future__ import annotations

import numpy as np

from avsep.signals import Audio

DEAD_DB = 60.0
"""How far below the middle channel the level of a channel is that picked nothing up."""
SAME = 0.99999
"""Correlation from which two channels are one: what differs is 50 dB below."""
CLIPPED = 1e-3
"""Share of samples at the limit from which a channel is clipped."""
CLIPPED_MORE = 10.0
"""How much more often than the middle channel it must be: a recording that is clipped as a whole has no better one."""
LATEST_SECONDS = 0.05
"""Delay against the middle channel that no array is large enough for: 17 m."""
MOST_CHANNELS = 16
"""Whose delays are looked for: the memory for them grows with the square of the channels."""
DISTINCT = 10.0
"""Height of the peak of the cross-correlation, in its standard deviations, from which it tells a delay."""


class ChannelFaults:
    """What is wrong with each channel, from blocks of the sound as it was recorded."""

    def __init__(self, channels: int) -> None:
        self.products = np.zeros((channels, channels))
        self.samples = 0
        self.peaks: list[np.ndarray] = []
        self.flat: list[np.ndarray] = []
        self.rate = 0
        self.cross: np.ndarray | None = None

    def add(self, block: Audio) -> None:
        """The next block: its samples are (channels, time)."""
        x = block.samples
        if not x.shape[1]:
            return
        self.products += x.astype(np.float64) @ x.T
        self.samples += x.shape[1]
        peak = np.abs(x).max(axis=1)
        limit = np.abs(x) >= peak[:, None]
        # A single sample at the peak is in every sound; a limiter or converter holds several.
        held = (limit[:, 1:] & limit[:, :-1]).sum(axis=1)
        self.peaks.append(peak)
        self.flat.append(np.where(peak > 0, held, 0))
        if len(x) <= MOST_CHANNELS and (x.shape[1] == block.sample_rate or self.cross is None):
            self._add_cross(x, block.sample_rate)

    def _add_cross(self, x: np.ndarray, rate: int) -> None:
        """Cross-spectra of a second, or of a sound that is shorter, without their magnitude (GCC-PHAT, Knapp and
        Carter, 1976)."""
        spectra = np.fft.rfft(x, 2 * rate, axis=1)
        cross = spectra[:, None] * spectra[None].conj()
        if self.cross is None:
            self.cross, self.rate = np.zeros(cross.shape, np.complex64), rate
        self.cross += cross / (np.abs(cross) + 1e-12)

    def found(self) -> dict[int, str]:
        """Channel -> what is wrong with it, in words; at least one channel is always left."""
        faults: dict[int, str] = {}
        count = len(self.products)
        power = self.products.diagonal() / max(1, self.samples)
        usual = float(np.median(power[power > 0])) if power.any() else 1.0
        for channel in np.flatnonzero(power <= max(usual * 10 ** (-DEAD_DB / 10), 1e-12)).tolist():
            faults[channel] = "is silent" if power[channel] == 0 else "is nearly silent"
        self._find_copies(faults)
        self._find_clipped(faults)
        self._find_late(faults)
        if len(faults) == count:
            best = int(power.argmax())
            del faults[best]
        return dict(sorted(faults.items()))

    def _left(self, faults: dict[int, str]) -> list[int]:
        return [channel for channel in range(len(self.products)) if channel not in faults]

    def _find_copies(self, faults: dict[int, str]) -> None:
        left = self._left(faults)
        size = np.sqrt(self.products.diagonal())
        for position, channel in enumerate(left):
            for first in left[:position]:
                alike = abs(self.products[first, channel]) / (size[first] * size[channel])
                if first not in faults and alike > SAME:
                    faults[channel] = f"is a copy of channel {first}"
                    break

    def _find_clipped(self, faults: dict[int, str]) -> None:
        left = self._left(faults)
        if len(left) < 2:
            return
        peaks, flat = np.array(self.peaks)[:, left], np.array(self.flat)[:, left]
        at_limit = peaks >= 0.999 * peaks.max(axis=0)
        share = (flat * at_limit).sum(axis=0) / self.samples
        # The lower one of two in the middle: where half of the channels are clipped, the others are better.
        middle = np.sort(share)[(len(left) - 1) // 2]
        for channel, part in zip(left, share, strict=True):
            if part > CLIPPED and part > CLIPPED_MORE * middle:
                faults[channel] = f"is clipped ({100 * part:.1f} % of its samples are at the limit)"

    def _find_late(self, faults: dict[int, str]) -> None:
        left = self._left(faults)
        if len(left) < 2 or self.cross is None:
            return
        delays = np.stack([self._delays(first, left) for first in left])
        if len(left) == 2:
            # Which of the two is at fault nobody can tell.
            if abs(delays[1, 0]) > LATEST_SECONDS:
                faults[left[1]] = f"is {1000 * abs(delays[1, 0]):.0f} ms apart from channel {left[0]}"
            return
        # A channel's delay is the median of those against all, itself among them, which one late channel does not move.
        for channel, row in zip(left, delays, strict=True):
            late = float(np.nanmedian(row)) if np.isfinite(row).sum() > 1 else 0.0
            if abs(late) > LATEST_SECONDS:
                word = "late" if late > 0 else "early"
                faults[channel] = f"is {1000 * abs(late):.0f} ms too {word}"

    def _delays(self, channel: int, others: list[int]) -> np.ndarray:
        """By how many seconds a channel is later than each of others; NaN where they have nothing in common."""
        assert self.cross is not None
        correlation = np.fft.irfft(self.cross[channel, others], axis=-1)
        peak = correlation.argmax(axis=-1)
        distinct = correlation.max(axis=-1) > DISTINCT * correlation.std(axis=-1)
        length = correlation.shape[-1]
        delay = np.where(peak > length // 2, peak - length, peak) / self.rate
        return np.where(distinct, delay, np.nan)
