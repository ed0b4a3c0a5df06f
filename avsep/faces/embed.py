"""Embeddings of followed faces, one a picture: for models that are steered by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from avsep.embeddings.face import DIMENSIONS, FaceEmbedder
from avsep.faces.track import portrait
from avsep.signals import FRAME_RATE, FaceTrack, VideoFrames
from avsep.storage.spool import Spool


def embed_tracks(
    chunks: Iterable[VideoFrames],
    tracks: Sequence[FaceTrack],
    embedder: FaceEmbedder,
    folder: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Spool]:
    """The embedding of every picture of each track: Spool of (512,) float32 rows on disk, row 0 at the track's first
    grid number.

    chunks: the pictures in which the faces were found, once more. folder: where the rows wait on disk. progress: called
    with the seconds of video done.
    """
    shared = Spool(folder, (DIMENSIONS,), np.float32)
    done: dict[int, Spool] = {}
    # Open files are limited in number: a track has one of its own only while it goes on.
    under_way: dict[int, Spool] = {}
    for chunk in chunks:
        stop = chunk.first + len(chunk)
        for number, track in enumerate(tracks):
            crops = _portraits(chunk, track)
            if len(crops):
                own = under_way.setdefault(number, Spool(folder, (DIMENSIONS,), np.float32))
                own.append(embedder(crops))
        for number in [n for n in under_way if tracks[n].first + len(tracks[n]) <= stop]:
            done[number] = _moved(under_way.pop(number), shared)
        if progress is not None:
            progress(stop / FRAME_RATE)
    done |= {number: _moved(own, shared) for number, own in under_way.items()}
    return [done.get(number, shared.section(0, 0)) for number in range(len(tracks))]


def _portraits(chunk: VideoFrames, track: FaceTrack) -> np.ndarray:
    """The face in the pictures of a chunk that the track goes through: (n, 160, 160, 3) uint8 RGB."""
    first, stop = max(chunk.first, track.first), min(chunk.first + len(chunk), track.first + len(track))
    corners = track.boxes.reshape(-1, 2, 2) / chunk.scale
    crops = [portrait(chunk.preview[n - chunk.first], corners[n - track.first]) for n in range(first, stop)]
    return np.stack(crops) if crops else np.empty((0,), np.uint8)


def _moved(own: Spool, shared: Spool) -> Spool:
    """What a spool holds, in the shared one."""
    start = len(shared)
    for row in range(0, len(own), 1024):
        shared.append(own.read(row, row + 1024))
    own.close()
    return shared.section(start, len(shared))
