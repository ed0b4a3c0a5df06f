"""The cues of an item: what a model is given of each source, or of the scene, besides the mixture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avsep.data.corpus import Clip
from avsep.data.draft import Draft
from avsep.data.lip_augment import LipAugment, SpanDropout, SyncJitter, apply
from avsep.data.ranges import check
from avsep.data.rooms import SPEED_OF_SOUND
from avsep.errors import UsageError
from avsep.signals import FRAME_RATE


class Cue:
    """Adds one cue, or several, to a draft, in the order of the methods. name: of the cue in an item. faces: of how
    many sources, the first ones, it needs what their faces show."""

    name: str = ""
    faces: int = 0

    def plan(self, draft: Draft, rng: np.random.Generator) -> None:
        """Before the room is drawn and any sound is read."""

    def add(self, draft: Draft, slot: int, clip: Clip, rng: np.random.Generator) -> None:
        """After source `slot` was added to the mixture; not called for one that is silent and has no face."""

    def finish(self, draft: Draft) -> None:
        """After all sources."""


@dataclass(frozen=True)
class Shown(Cue):
    """What the faces of the first sources show: (shown, pictures, ...).

    shown: number of faces; sources beyond are of people out of the picture. silent: probability that the person of a
    face is taken out of the mixture, absent: that a face is not visible (zeros) while its person goes on in the
    mixture. The target of both is zero. still: probability that a face stands still while its person is silent, as a
    listener's does; else the mouth goes on moving without a sound. changes: what happens to the pictures.
    """

    shown: int = 2
    silent: float = 0.1
    absent: float = 0.05
    still: float = 0.7
    changes: list[LipAugment] = field(default_factory=list)

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "silent", "absent", "still")
        if self.shown < 1:
            raise UsageError(f"{type(self).__name__}: shown is {self.shown}; it must be 1 or more")

    @property
    def faces(self) -> int:  # type: ignore[override]
        return self.shown

    def plan(self, draft: Draft, rng: np.random.Generator) -> None:
        drawn = rng.random(self.shown)
        draft.active[: self.shown][drawn < self.silent] = False
        draft.hidden[: self.shown] |= drawn >= 1 - self.absent
        draft.cues[self.name] = np.zeros((0,), np.uint8)

    def add(self, draft: Draft, slot: int, clip: Clip, rng: np.random.Generator) -> None:
        pictures = getattr(clip, self.name)
        if pictures is None:
            return
        if slot == 0:
            draft.cues[self.name] = np.zeros((self.shown, *pictures.shape), pictures.dtype)
        if draft.hidden[slot]:
            return
        instants = np.arange(len(pictures)) * draft.sample_rate // FRAME_RATE
        pictures = self.rest(pictures, draft.active[slot, instants], rng)
        draft.cues[self.name][slot] = apply(self.changes, pictures, rng)

    def rest(self, pictures: np.ndarray, active: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Pictures (pictures, ...) that stand still where `active` (pictures,) is False, with probability `still`."""
        if active.all() or rng.random() >= self.still:
            return pictures
        # Each silent picture becomes the last active one before it; at the start, the first picture.
        last = np.maximum.accumulate(np.where(active, np.arange(len(pictures)), 0))
        return pictures[last]


@dataclass(frozen=True)
class Lips(Shown):
    """Lips of the first sources: `lips` (shown, pictures, 96, 96), black where a face is not visible. The options are
    those of `Shown`."""

    name = "lips"


@dataclass(frozen=True)
class Face(Shown):
    """FaceNet embeddings of the first sources: `face` (shown, pictures, 512). The options are those of `Shown`; changes
    may be those that make no use of pixels, `SpanDropout` and `SyncJitter`.

    Needs a corpus made with --face-embeddings.
    """

    name = "face"

    def __post_init__(self) -> None:
        super().__post_init__()
        for change in self.changes:
            if not isinstance(change, SpanDropout | SyncJitter):
                raise UsageError(
                    f"Face: {type(change).__name__} changes pixels, and embeddings have none; changes may be "
                    "SpanDropout and SyncJitter"
                )


@dataclass(frozen=True)
class Enrolment(Cue):
    """Another utterance of each speaker, or another sound of each class: `enrolment` (sources, time).

    seconds: its length; utterances that are shorter begin again. It is as loud as it was recorded, and is given for
    silent sources too: their speakers are not in the mixture.
    """

    seconds: float = 4.0

    name = "enrolment"

    def __post_init__(self) -> None:
        check(self, (0.001, 3600.0), "seconds")

    def plan(self, draft: Draft, rng: np.random.Generator) -> None:
        length = round(self.seconds * draft.sample_rate)
        draft.cues["enrolment"] = np.stack([source.enrol(rng, length) for source in draft.sources])


@dataclass(frozen=True)
class Geometry(Cue):
    """Positions in m: `geometry` (channels, 3) of the microphones, `source_positions` (sources, 3) of the sources.

    Needs a room with positions for every item (ImageRooms with p 1).
    """

    name = "geometry"

    def finish(self, draft: Draft) -> None:
        microphones, places = positions(draft)
        draft.cues["geometry"] = microphones.astype(np.float32)
        draft.cues["source_positions"] = places.astype(np.float32)


@dataclass(frozen=True)
class Delays(Cue):
    """Directions of the sources as an array takes them: `delays` (sources, channels) in s, by which the direct sound of
    each is behind at each microphone, against the first.

    off_degrees: deviation of an error that is made of a source's azimuth, as seen from the middle of the array: in use
    delays are estimated, or come from a camera. Needs a room with positions for every item (ImageRooms with p 1).
    """

    off_degrees: float = 0.0

    name = "delays"

    def __post_init__(self) -> None:
        check(self, (0.0, 180.0), "off_degrees")

    def plan(self, draft: Draft, rng: np.random.Generator) -> None:
        # The errors, until the room is known.
        draft.cues[self.name] = rng.normal(0, self.off_degrees, len(draft.sources))

    def finish(self, draft: Draft) -> None:
        microphones, places = positions(draft)
        middle = microphones.mean(0)
        angle = np.radians(draft.cues[self.name])
        x, y, z = (places - middle).T
        turned = middle + np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, z], 1)
        arrivals = np.linalg.norm(turned[:, None] - microphones, axis=2) / SPEED_OF_SOUND
        draft.cues[self.name] = (arrivals - arrivals[:, :1]).astype(np.float32)


def positions(draft: Draft) -> tuple[np.ndarray, np.ndarray]:
    """Of the microphones (channels, 3) and of the sources (sources, 3), in m."""
    room = draft.room
    if room is None or room.microphones is None or room.places is None:
        raise RuntimeError("the positions are known of no room that this item has")
    return room.microphones, room.places[: len(draft.sources)]
