"""By time, the cues of people that a model is steered by: their lips, embeddings of their faces, and where they are as
an array takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avsep.embeddings.face import DIMENSIONS
from avsep.errors import UsageError
from avsep.signals import LIP_SIZE, FaceTrack, Person, pictures_of

if TYPE_CHECKING:
    from avsep.modes.base import Scene
    from avsep.output.tracks import TrackReader
    from avsep.storage.recording import Recording
    from avsep.storage.spool import Spool

Shown = Callable[[Person, int, int], np.ndarray]
"""What a person shows in the pictures first..last of the grid: (last - first, ...)."""


class PeopleCues:
    """offsets: for each of the people, by how many pictures the sound is later than the pictures. shown: by the names
    of cues, what gives them. delays: those of all people."""

    def __init__(
        self,
        people: Sequence[Person],
        offsets: Sequence[int],
        shown: Mapping[str, Shown],
        delays: Delays | None = None,
    ) -> None:
        self.people, self.offsets, self.shown, self.delays = people, offsets, shown, delays

    @property
    def sources(self) -> int:
        return len(self.people)

    def read(self, start_seconds: float, stop_seconds: float) -> tuple[list[int], Mapping[str, np.ndarray]]:
        """Who is in the picture in that stretch, and the cues (people, ...) by name."""
        first, last = pictures_of(start_seconds, stop_seconds)
        spans = [(first - late, last - late) for late in self.offsets]
        present = [i for i, person in enumerate(self.people) if _is_visible(person, *spans[i])]
        cues = {
            # Of nobody there is a cue of the right shape.
            name: np.stack([show(self.people[i], *spans[i]) for i in present] or [show(Person(()), first, last)])[
                : len(present)
            ]
            for name, show in self.shown.items()
        }
        if self.delays is not None:
            cues["delays"] = self.delays.read(start_seconds, stop_seconds)[present]
        return present, cues


def lips(person: Person, first: int, last: int) -> np.ndarray:
    """(last - first, 96, 96) float32 in 0..1; the nearest picture where there is none."""
    return person_lips(person, first, last).astype(np.float32) / 255


def person_lips(person: Person, first: int, last: int) -> np.ndarray:
    """Mouth crops of a person at grid numbers first..last: (last - first, 96, 96) uint8; the nearest picture where
    there is none."""
    out = np.zeros((last - first, LIP_SIZE, LIP_SIZE), np.uint8)
    known = np.zeros(last - first, bool)
    for track in person.tracks:
        lo, hi = max(first, track.first), min(last, track.first + len(track))
        if lo < hi:
            out[lo - first : hi - first] = track.lips.crops.read(lo - track.first, hi - track.first)
            known[lo - first : hi - first] = True
    if known.any():
        have = np.flatnonzero(known)
        right = np.searchsorted(have, np.arange(len(out))).clip(0, len(have) - 1)
        left = (right - 1).clip(0)
        grid = np.arange(len(out))
        nearest = np.where(abs(have[left] - grid) <= abs(have[right] - grid), have[left], have[right])
        out = out[nearest]
    return out


class Embeddings:
    """FaceNet's of every picture of a person, zeros where there is none, as in training. found: those of each track."""

    def __init__(self, tracks: Sequence[FaceTrack], found: Sequence[Spool]) -> None:
        self.found = {id(track): rows for track, rows in zip(tracks, found, strict=True)}

    def __call__(self, person: Person, first: int, last: int) -> np.ndarray:
        """(last - first, 512) float32."""
        out = np.zeros((last - first, DIMENSIONS), np.float32)
        for track in person.tracks:
            rows = self.found[id(track)].read(first - track.first, last - track.first)
            begin = max(0, track.first - first)
            out[begin : begin + len(rows)] = rows
        return out


def face_embeddings(scene: Scene) -> Embeddings:
    """The pictures are decoded once more. Raises UsageError where FaceNet's weights cannot be had."""
    from avsep.embeddings.face import load_face_embedder
    from avsep.faces.embed import embed_tracks
    from avsep.media.decode import read_video

    embedder, warning = load_face_embedder(scene.models.device)
    if embedder is None:
        raise UsageError(f"the model needs embeddings of the faces, and {warning}")
    tracks = [track for person in scene.people for track in person.tracks]
    total = scene.clip.duration_seconds
    pictures = scene.watch.each("decode", read_video(scene.clip, lambda _: None))
    with scene.watch.step("face embeddings"):
        found = embed_tracks(
            pictures, tracks, embedder, scene.folder, lambda seconds: scene.progress("face embeddings", seconds, total)
        )
    return Embeddings(tracks, found)


class Delays:
    """By how much the voice of each person is behind at each microphone, against the first, by GCC-PHAT of the bins in
    which it is louder than the others.

    mixture: of the array. voices: at the first microphone, and at the mixture's rate, those of the people first.
    longest: delay between two microphones, in s.
    """

    def __init__(self, mixture: Recording, voices: TrackReader, longest: float = 0.001) -> None:
        self.mixture, self.voices, self.longest = mixture, voices, longest

    def read(self, start_seconds: float, stop_seconds: float) -> np.ndarray:
        """(voices, microphones) float32 in s, 0 for those that are silent in that stretch."""
        import torch

        from avsep.dsp.spatial import gcc_phat
        from avsep.dsp.stft import stft

        rate = self.mixture.sample_rate
        start = round(start_seconds * rate)
        mixture = self.mixture.read(start, round(stop_seconds * rate))
        voices = self.voices.read(start, start + mixture.shape[1])
        size = stft(torch.from_numpy(voices[:, 0])).abs()
        own = size * (size > 0.5 * size.sum(0))
        found = gcc_phat(stft(torch.from_numpy(mixture)).unsqueeze(0), rate, own, longest=self.longest)
        return found.numpy().astype(np.float32)


def _is_visible(person: Person, first: int, last: int) -> bool:
    return any(min(last, track.first + len(track)) > max(first, track.first) for track in person.tracks)
