"""Tracks and residual as files at the input's own rate, channels and length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from avsep.dsp.fullband import spread
from avsep.dsp.images import ChannelImages
from avsep.dsp.resample import context_samples, with_context
from avsep.media.encode import WavWriter
from avsep.signals import FRAME_RATE, Audio, ProgressHook, no_progress
from avsep.storage.recording import Estimates

ALIKE = 0.98
"""Correlation from which two tracks count as the same."""


class TrackReader:
    """The sound of each track: sources times gains. gains: (tracks, sources, pictures) in 0..1."""

    def __init__(self, sources: Estimates, gains: np.ndarray) -> None:
        self.sources, self.gains = sources, gains
        self.sample_rate = sources.sample_rate

    def read(self, start: int, stop: int) -> np.ndarray:
        """(tracks, channels, stop - start) float32 at `sample_rate`; zeros outside the clip."""
        tracks, _, pictures = self.gains.shape
        out = np.zeros((tracks, self.sources.channels, stop - start), np.float32)
        lo, hi = max(0, start), min(stop, len(self.sources))
        if hi <= lo or not pictures:
            return out
        samples = self.sources.read(lo, hi)
        # A picture's gain holds at its middle and is faded to the next.
        hop = self.sample_rate / FRAME_RATE
        first, last = max(0, int(lo // hop) - 1), min(pictures, int(hi // hop) + 2)
        position = (np.arange(lo, hi) - hop / 2) / hop - first
        left = np.floor(position).astype(int)
        part = (position - left).astype(np.float32)
        left, right = left.clip(0, last - first - 1), (left + 1).clip(0, last - first - 1)
        near = self.gains[:, :, first:last].astype(np.float32)
        gain = near[:, :, left] * (1 - part) + near[:, :, right] * part
        out[..., lo - start : hi - start] = np.einsum("pst,sct->pct", gain, samples)
        return out


def write_tracks(
    blocks: Iterable[Audio],
    tracks: TrackReader,
    files: Sequence[Path],
    residual: Path,
    seconds: float,
    progress: ProgressHook = no_progress,
) -> list[tuple[int, int]]:
    """Write every track and what is left of the input; their sum is the input, sample by sample.

    blocks: the input, in seconds. Returns pairs of tracks that are the same sound.
    """
    energy = np.zeros((len(files), len(files)))
    own_rate = tracks.sample_rate
    with ExitStack() as stack:
        writers: list[WavWriter] = []
        position = 0
        for block, wide in with_context(blocks, own_rate):
            rate, channels = block.sample_rate, len(block.samples)
            if not writers:
                writers = [stack.enter_context(WavWriter(p, rate, channels)) for p in (*files, residual)]
                images = ChannelImages(rate, context_samples(rate, own_rate))
            edge = context_samples(rate, own_rate) * own_rate // rate
            size = -(-wide.shape[1] * own_rate // rate)
            estimates = tracks.read(position - edge, position - edge + size)
            if channels == 1:  # of an array only the reference microphone is written, the first
                estimates = estimates[:, :1]
            placed = np.zeros((0, *block.samples.shape), np.float32)
            if len(files):
                placed = spread(estimates, wide, rate, own_rate, images)
            for writer, track in zip(writers[:-1], placed, strict=True):
                writer.write(track)
            writers[-1].write(block.samples - placed.sum(axis=0))
            inner = estimates[..., edge : size - edge]
            energy += np.einsum("act,bct->ab", inner, inner, optimize=True)
            position += own_rate
            progress("writing", block.start_seconds + block.seconds, seconds)
    norm = np.sqrt(np.outer(energy.diagonal(), energy.diagonal())) + 1e-12
    same = np.argwhere(np.triu(energy / norm > ALIKE, 1))
    return [(int(a), int(b)) for a, b in same]
