"""Tracks and residual as files at the input's own rate, channels and length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from avsep.dsp.fullband import spread
from avsep.dsp.resample import context_samples, with_context
from avsep.inference.separation import silent
from avsep.media.encode import WavWriter
from avsep.signals import HOP, SAMPLE_RATE, Audio, ProgressHook
from avsep.storage.spool import Spool

ALIKE = 0.98
"""Correlation from which two tracks count as the same."""


class TrackReader:
    """What each person says, as sources times gains. sources: spool of (sources,); gains: (people, sources,
    pictures) in 0..1."""

    def __init__(self, sources: Spool, gains: np.ndarray) -> None:
        self.sources, self.gains = sources, gains

    def read(self, start: int, stop: int) -> np.ndarray:
        """(people, stop - start) float32 at SAMPLE_RATE; zeros outside the clip."""
        people, _, pictures = self.gains.shape
        out = np.zeros((people, stop - start), np.float32)
        lo, hi = max(0, start), min(stop, len(self.sources))
        if hi <= lo or not pictures:
            return out
        samples = self.sources.read(lo, hi)
        # A picture's gain holds at its middle and is faded to the next.
        first, last = max(0, lo // HOP - 1), min(pictures, hi // HOP + 2)
        position = (np.arange(lo, hi) - HOP / 2) / HOP - first
        left = np.floor(position).astype(int)
        part = (position - left).astype(np.float32)
        left, right = left.clip(0, last - first - 1), (left + 1).clip(0, last - first - 1)
        near = self.gains[:, :, first:last].astype(np.float32)
        gain = near[:, :, left] * (1 - part) + near[:, :, right] * part
        out[:, lo - start : hi - start] = np.einsum("pst,ts->pt", gain, samples)
        return out


def write_tracks(
    blocks: Iterable[Audio],
    tracks: TrackReader,
    files: Sequence[Path],
    residual: Path,
    seconds: float,
    progress: ProgressHook = silent,
) -> list[tuple[int, int]]:
    """Write every track and what is left of the input; their sum is the input, sample by sample.

    blocks: the input, in seconds. Returns pairs of tracks that are the same sound.
    """
    energy = np.zeros((len(files), len(files)))
    with ExitStack() as stack:
        writers: list[WavWriter] = []
        position = 0
        for block, wide in with_context(blocks):
            rate, channels = block.sample_rate, len(block.samples)
            if not writers:
                writers = [stack.enter_context(WavWriter(p, rate, channels)) for p in (*files, residual)]
            edge = context_samples(rate) * SAMPLE_RATE // rate
            size = -(-wide.shape[1] * SAMPLE_RATE // rate)
            estimates = tracks.read(position - edge, position - edge + size)
            placed = spread(estimates, wide, rate) if len(files) else np.zeros((0, *block.samples.shape), np.float32)
            for writer, track in zip(writers[:-1], placed, strict=True):
                writer.write(track)
            writers[-1].write(block.samples - placed.sum(axis=0))
            inner = estimates[:, edge : size - edge]
            energy += inner @ inner.T
            position += SAMPLE_RATE
            progress("writing", block.start_seconds + block.seconds, seconds)
    norm = np.sqrt(np.outer(energy.diagonal(), energy.diagonal())) + 1e-12
    same = np.argwhere(np.triu(energy / norm > ALIKE, 1))
    return [(int(a), int(b)) for a, b in same]
