"""How an item is made: a sequence of steps, each of which a configuration can replace.

    cast          who: speakers, sound events, the stems of a song, mixtures of mixtures
    scene         levels, rooms with positions, activity
    cues          lips, embeddings of faces, enrolment, geometry, delays
    degradation   noise, babble, clipping, codecs

Everything is drawn from one generator, in this order: who, when each sounds, what the cues plan, the room; then for
each source its sound, its level, filters and cues; then what happens to the mixture. A change of that order is another
set of mixtures for every seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avsep.data.casts import Cast, Needs
from avsep.data.corpus import SourcePool
from avsep.data.cues import Cue
from avsep.data.degradation import Degradation
from avsep.data.draft import Draft
from avsep.data.item import Item, make_item
from avsep.data.ranges import check
from avsep.data.scene import Scene, SimulatedScene
from avsep.errors import UsageError
from avsep.signals import SAMPLE_RATE


@dataclass
class Recipe:
    """The steps of an item of `seconds`; what is left out does not happen. sample_rate: of mixture, sources and
    enrolment, in Hz."""

    cast: Cast
    seconds: float = 4.0
    scene: Scene = field(default_factory=SimulatedScene)
    cues: list[Cue] = field(default_factory=list)
    degradation: list[Degradation] = field(default_factory=list)
    sample_rate: int = SAMPLE_RATE

    def __post_init__(self) -> None:
        check(self, (0.001, 3600.0), "seconds")
        kind = type(self.cast).__name__
        if self.faces > self.cast.places:
            raise UsageError(
                f"Recipe: the lips of {self.faces} faces are shown, but {kind} draws {self.cast.places} sources"
            )
        for name in ("lips", "face", "enrolment"):
            if name in self.cue_names and name not in self.cast.gives:
                made = ", ".join(self.cast.gives) or "none"
                raise UsageError(f"Recipe: the cue {name} cannot be made of {kind}; cues it can make: {made}")
        for name in ("geometry", "delays"):
            if name in self.cue_names and not self.scene.positions:
                raise UsageError(
                    f"Recipe: the cue {name} needs a room with positions for every item; give the scene a room "
                    "avsep.data.image_rooms.ImageRooms with p 1"
                )
        if len(set(self.cue_names)) < len(self.cues):
            raise UsageError(f"Recipe: cues are {', '.join(self.cue_names)}; each may be there once")

    @property
    def cue_names(self) -> list[str]:
        return [cue.name for cue in self.cues]

    @property
    def faces(self) -> int:
        """Of how many sources, the first ones, lips or embeddings are needed."""
        return max((cue.faces for cue in self.cues), default=0)

    @property
    def shows(self) -> tuple[str, ...]:
        """What is needed of these sources: "lips", "face" or both."""
        return tuple(name for name in ("lips", "face") if name in self.cue_names) or ("lips",)

    @property
    def length(self) -> int:
        """Samples of an item."""
        return round(self.seconds * self.sample_rate)

    def prepare(self, pool: SourcePool | None = None) -> None:
        """Open the corpora and make the rooms: once, before workers start. pool: what the cast draws from, in place of
        a corpus of its own (of a stream)."""
        needs = Needs(self.sample_rate, self.faces, "enrolment" in self.cue_names, self.shows)
        self.cast.prepare(needs, pool)
        self.scene.prepare(self.cast, self.sample_rate)
        for change in self.degradation:
            change.prepare(self.cast, self.sample_rate)

    def make(self, rng: np.random.Generator, name: str) -> Item:
        """One item; see avsep.data.item."""
        channels = self.scene.channels(self.cast)
        draft = Draft(self.cast, self.cast.draw(rng), self.length, self.sample_rate, channels)
        self.scene.set_activity(draft, rng)
        for cue in self.cues:
            cue.plan(draft, rng)
        self.scene.set_room(draft, rng)
        for slot in range(len(draft.sources)):
            if draft.active[slot].any() or slot < self.faces:
                self._add(draft, slot, rng)
        for cue in self.cues:
            cue.finish(draft)
        mixture = draft.mixture
        for change in self.degradation:
            mixture = change(mixture, rng, draft)
        return make_item(name, mixture, draft.targets, [source.label for source in draft.sources], draft.cues)

    def _add(self, draft: Draft, slot: int, rng: np.random.Generator) -> None:
        clip = self.scene.draw_utterance(draft, slot, rng, slot < self.faces)
        if clip.span is not None:
            draft.active[slot, : clip.span[0]] = draft.active[slot, clip.span[1] :] = False
        self.scene.add(draft, slot, clip.sound, rng)
        for cue in self.cues:
            cue.add(draft, slot, clip, rng)
