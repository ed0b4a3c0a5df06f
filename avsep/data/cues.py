"""The cues of an item: what a model is given of each source, or of the scene, besides the mixture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avsep.data.corpus import Clip
from avsep.data.draft import Draft
from avsep.data.lip_augment import LipAugment, apply
from avsep.data.ranges import check
from avsep.errors import UsageError
from avsep.signals import FRAME_RATE


class Cue:
    """Adds one cue, or several, to a draft, in the order of the methods. name: of the cue in an item. faces: of how
    many sources, the first ones, it needs lips."""

    name: str = ""
    faces: int = 0

    def plan(self, draft: Draft, rng: np.random.Generator) -> None:
        """Before the room is drawn and any sound is read."""

    def add(self, draft: Draft, slot: int, clip: Clip, rng: np.random.Generator) -> None:
        """After source `slot` was added to the mixture; not called for one that is silent and has no face."""

    def finish(self, draft: Draft) -> None:
        """After all sources."""


@dataclass(frozen=True)
class Lips(Cue):
    """Lips of the first sources: `lips` (shown, pictures, 96, 96).

    shown: number of faces; sources beyond are of people out of the picture. silent: probability that the person of a
    face is taken out of the mixture, absent: that a face is not visible (black) while its person goes on in the
    mixture. The target of both is zero. still: probability that a face stands still while its person is silent, as a
    listener's does; else the mouth goes on moving without a sound. changes: what happens to the pictures.
    """

    shown: int = 2
    silent: float = 0.1
    absent: float = 0.05
    still: float = 0.7
    changes: list[LipAugment] = field(default_factory=list)

    name = "lips"

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "silent", "absent", "still")
        if self.shown < 1:
            raise UsageError(f"Lips: shown is {self.shown}; it must be 1 or more")

    @property
    def faces(self) -> int:  # type: ignore[override]
        return self.shown

    def plan(self, draft: Draft, rng: np.random.Generator) -> None:
        drawn = rng.random(self.shown)
        draft.active[: self.shown][drawn < self.silent] = False
        draft.hidden[: self.shown] = drawn >= 1 - self.absent
        draft.cues["lips"] = np.zeros((0,), np.uint8)

    def add(self, draft: Draft, slot: int, clip: Clip, rng: np.random.Generator) -> None:
        if clip.lips is None:
            return
        if slot == 0:
            draft.cues["lips"] = np.zeros((self.shown, *clip.lips.shape), np.uint8)
        if draft.hidden[slot]:
            return
        instants = np.arange(len(clip.lips)) * draft.sample_rate // FRAME_RATE
        draft.cues["lips"][slot] = apply(self.changes, self.rest(clip.lips, draft.active[slot, instants], rng), rng)

    def rest(self, lips: np.ndarray, active: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Lips (pictures, h, w) that stand still where `active` (pictures,) is False, with probability `still`."""
        if active.all() or rng.random() >= self.still:
            return lips
        # Each silent picture becomes the last active one before it; at the start, the first picture.
        last = np.maximum.accumulate(np.where(active, np.arange(len(lips)), 0))
        return lips[last]


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
        room = draft.room
        if room is None or room.microphones is None or room.places is None:
            raise RuntimeError("the positions are known of no room that this item has")
        draft.cues["geometry"] = room.microphones.astype(np.float32)
        draft.cues["source_positions"] = room.places[: len(draft.sources)].astype(np.float32)
