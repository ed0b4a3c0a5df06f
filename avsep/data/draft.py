"""An item while the steps of a recipe make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avsep.data.casts import Cast, Source
from avsep.data.levels import level_of, scale_to
from avsep.data.rooms import Responses, apply_room


@dataclass(eq=False)
class Draft:
    """What the steps read and change, each what comes before it.

    cast, sources: drawn first. active (sources, time): True where a source sounds. hidden (sources,): True for a source
    that sounds in the mixture, but is no target. room: responses from one place for each source, and from a last one
    for what is in the background; None for none. base_db: level around which the sources lie; None until it is drawn,
    and where they are as loud as they were recorded. speed: of all sources, where they share one. mixture (channels,
    time), targets (sources, channels, time): zeros to begin with. cues: by their names, as they are in an item.
    """

    cast: Cast
    sources: Sequence[Source]
    length: int
    sample_rate: int
    channels: int
    room: Responses | None = None
    base_db: float | None = None
    speed: float | None = None
    cues: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.sources)
        self.active = np.ones((count, self.length), bool)
        for slot, source in enumerate(self.sources):
            if not source.present:
                self.active[slot] = False
        self.hidden = np.zeros(count, bool)
        self.mixture = np.zeros((self.channels, self.length), np.float32)
        self.targets = np.zeros((count, self.channels, self.length), np.float32)

    @property
    def level_db(self) -> float:
        """The level of the sources: the drawn one, or that of the mixture as it is."""
        return level_of(self.mixture) if self.base_db is None else self.base_db

    def background(self, sound: np.ndarray, below_db: float, rng: np.random.Generator) -> np.ndarray:
        """(channels of the cast, time) -> (channels, time): so far below the sources, from the last place of the
        room."""
        level = self.level_db - below_db
        response = None if self.room is None else self.room.taps[-1]
        image = apply_room(sound, (), response, rng, self.sample_rate)[0]
        return image * scale_to(image[: len(sound)], level, self.length)
