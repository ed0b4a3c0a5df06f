"""What tells whose a track is: embeddings of its face, and of what its voice says alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avsep.embeddings.face import load_face_embedder
from avsep.embeddings.speaker import MODEL, embed, speech_by_itself
from avsep.errors import InputError
from avsep.output.tracks import TrackReader
from avsep.signals import SAMPLE_RATE, Track, Tracks

if TYPE_CHECKING:
    from avsep.embeddings.face import FaceEmbedder
    from avsep.modes.base import Scene


@dataclass(frozen=True, eq=False)
class Traits:
    """What somebody is told by. face: (512,) of length 1, voice: (size,) of `embed`; None where there is none. seconds:
    of the speech that the voice is of."""

    face: np.ndarray | None = None
    voice: np.ndarray | None = None
    seconds: float = 0.0


def voices_of(scene: Scene, tracks: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of the tracks' voices (tracks, size), NaN where too little is said to tell one by, and the seconds of
    speech that each is of (tracks,)."""
    with scene.watch.step("voices"):
        silent = np.zeros(tracks.gains.shape[2], np.float32)
        speech = np.stack([silent, *(silent if t.speech is None else t.speech for t in tracks.tracks)])[1:]
        said = speech_by_itself(TrackReader(tracks.sources, tracks.gains), speech)
        voices = embed(scene.models.voice(MODEL), said, scene.models.device)
    return voices, np.array([len(samples) / SAMPLE_RATE for samples in said])


def face_of(track: Track, embedder: FaceEmbedder) -> np.ndarray | None:
    """The mean of the embeddings of a person's portraits, (512,) of length 1."""
    if track.person is None:
        return None
    portraits = np.concatenate([one.portraits for one in track.person.tracks])
    return mean_of(embedder(portraits)) if len(portraits) else None


def mean_of(embeddings: np.ndarray) -> np.ndarray:
    """(n, dims) -> (dims,) of length 1."""
    mean = embeddings.mean(axis=0, dtype=np.float32)
    return mean / max(float(np.linalg.norm(mean)), 1e-9)


def face_embedder(option: str, device: str) -> FaceEmbedder:
    """Raises InputError where there is none. option: what needs it."""
    embedder, warning = load_face_embedder(device)
    if embedder is None:
        raise InputError(f"{option}: faces cannot be compared ({warning})")
    return embedder
