"""The scene of a mixture: when its sources sound, how loud, in which room, through which filters."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from avsep.data.activity import Activity
from avsep.data.casts import Cast
from avsep.data.corpus import Clip
from avsep.data.draft import Draft
from avsep.data.filters import Filter, Speed
from avsep.data.levels import Levels, Loudness
from avsep.data.rooms import Rooms, apply_room
from avsep.errors import UsageError
from avsep.signals import pictures_in


class Scene:
    """Adds the sources of a draft to its mixture and targets, in the order of the methods."""

    def prepare(self, cast: Cast, sample_rate: int) -> None:
        """What is made once, before workers start. Raises UsageError for a cast that does not fit."""

    def channels(self, cast: Cast) -> int:
        """Of the mixture."""
        return cast.channels

    @property
    def positions(self) -> bool:
        """Whether every item has a room whose positions are known."""
        return False

    def set_activity(self, draft: Draft, rng: np.random.Generator) -> None:
        """When each source sounds."""

    def set_room(self, draft: Draft, rng: np.random.Generator) -> None:
        """Where the sources are, and the level around which they lie."""

    def draw_utterance(self, draft: Draft, slot: int, rng: np.random.Generator, faces: bool) -> Clip:
        """The sound of source `slot`, as long as the item, with what the face shows if faces are asked for."""
        return draft.sources[slot].read(rng, draft.length, faces)

    def add(self, draft: Draft, slot: int, sound: np.ndarray, rng: np.random.Generator) -> None:
        """Add source `slot`, (channels of the cast, time), to the mixture and, unless it is hidden, as a target."""
        raise NotImplementedError


@dataclass
class SimulatedScene(Scene):
    """Sources at drawn levels; what is left out does not happen.

    levels: how loud the sources are. speed, filters, room: change them (the target is what the room's `early_seconds`
    leaves). activity: silences them, or parts of them.
    """

    levels: Levels = field(default_factory=Loudness)
    speed: Speed | None = None
    filters: list[Filter] = field(default_factory=list)
    room: Rooms | None = None
    activity: Activity | None = None

    def prepare(self, cast: Cast, sample_rate: int) -> None:
        if self.room is None:
            return
        if cast.channels > 1:
            raise UsageError(
                f"{type(self.room).__name__}: a room takes sources of one channel, but those of "
                f"{type(cast).__name__} have {cast.channels}; set its channels to 1, or leave the room out"
            )
        self.room.prepare(cast.places + 1, sample_rate)

    def channels(self, cast: Cast) -> int:
        return cast.channels if self.room is None else self.room.microphones

    @property
    def positions(self) -> bool:
        return self.room is not None and self.room.positions and self.room.p == 1

    def set_activity(self, draft: Draft, rng: np.random.Generator) -> None:
        if self.activity is not None:
            self.activity(draft.active, rng)

    def set_room(self, draft: Draft, rng: np.random.Generator) -> None:
        if self.room is not None:
            draft.room = self.room.draw(rng, len(draft.sources) + 1, draft.sample_rate)
        draft.base_db = self.levels.base(rng)
        if self.speed is not None and draft.cast.together:
            draft.speed = self.speed.draw(rng)

    def draw_utterance(self, draft: Draft, slot: int, rng: np.random.Generator, faces: bool) -> Clip:
        source, length = draft.sources[slot], draft.length
        if self.speed is None:
            return source.read(rng, length, faces)
        factor = self.speed.draw(rng) if draft.speed is None else draft.speed
        clip = source.read(rng, Speed.needed(length, factor), faces)
        pictures = pictures_in(length, draft.sample_rate)
        lips, face = (None if x is None else Speed.lips(x, factor, pictures) for x in (clip.lips, clip.face))
        span = clip.span
        if span is not None:
            span = (int(span[0] / factor), min(length, int(span[1] / factor) + 1))
        return Clip(Speed.sound(clip.sound, factor, length), lips, span, face)

    def add(self, draft: Draft, slot: int, sound: np.ndarray, rng: np.random.Generator) -> None:
        level = self.levels.draw(draft.base_db, rng)
        active = draft.active[slot]
        count = int(active.sum())
        if not count:
            return
        image, target = self._image(draft, slot, sound * active, rng)
        gain = self.levels.gain(target[: len(sound)], level, count)
        draft.mixture += gain * image
        if not draft.hidden[slot]:
            draft.targets[slot] = gain * target

    def _image(
        self, draft: Draft, slot: int, sound: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """What reaches the microphones, and the part of it that is the target: (channels, time) each."""
        if draft.room is None or self.room is None:
            image = apply_room(sound, self.filters, None, rng, draft.sample_rate)[0]
            return image, image
        taps = draft.room.taps[slot]
        if self.room.early_seconds is None:
            image = apply_room(sound, self.filters, taps, rng, draft.sample_rate)[0]
            return image, image
        early = self.room.early(draft.room, slot, draft.sample_rate)
        image, target = apply_room(sound, self.filters, taps, rng, draft.sample_rate, early)
        return image, target
