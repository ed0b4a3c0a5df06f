"""How well the lips of each person go with sources, once for a scene's lips however often sources change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avsep.matching.synchrony import Scores, embed_lips, embed_voices, score_people
from avsep.matching.visible import mouths_visible
from avsep.models.mouth_visibility import MouthVisibility
from avsep.models.synchrony import Synchrony
from avsep.signals import Person, ProgressHook
from avsep.storage.recording import Estimates
from avsep.timing import Stopwatch

HIDDEN = 1.0
"""Log odds that an active source is the voice of a face whose mouth is hidden, before it is known what the others say.
Above 0: a voice that nobody else in the picture can have is rather his than nobody's."""
UNSEEN = -1.0
"""The same of a person who is not in the picture. Little against it: a voice that goes on while the picture shows
something else is mostly still the same person's, and a source keeps to one voice. A hidden mouth promises no more while
somebody is out of the picture, whose voice it may be."""


class LipMatcher:
    """Holds sources against the lips of people, at each person's offset. av_offset: seconds the sound is later than the
    picture, None to find it for each person."""

    def __init__(
        self,
        synchrony: Synchrony,
        visibility: MouthVisibility,
        people: Sequence[Person],
        device: str,
        av_offset: float | None,
        progress: ProgressHook,
        watch: Stopwatch,
    ) -> None:
        self.synchrony, self.people, self.device, self.av_offset = synchrony, people, device, av_offset
        self.watch = watch
        tracks = [track for person in people for track in person.tracks]
        with watch.step("lips"):
            embedded = embed_lips(synchrony, tracks, device, progress)
            visible = mouths_visible(visibility, tracks, device)
        self._lips = {id(track): lips for track, lips in zip(tracks, embedded, strict=True)}
        self._visible = {id(track): seen for track, seen in zip(tracks, visible, strict=True)}

    def __call__(self, sources: Estimates, active: np.ndarray) -> Scores:
        """active: (decisions, sources) in 0..1."""
        with self.watch.step("synchrony"):
            voices = embed_voices(self.synchrony, sources, self.device)
            return score_people(self.people, self._lips, voices, active, self.av_offset, self._visible)

    def odds(self, scores: Scores) -> np.ndarray:
        """Log odds that each source is each person's voice, by the lips: (decisions, people, sources), NaN where the
        face is not in the picture."""
        slope, bias = self.synchrony.slope.item(), self.synchrony.bias.item()
        return odds_of_visible(slope * scores.correlation + bias + scores.moving[:, :, None], scores.visible)


def odds_of_visible(odds: np.ndarray, visible: np.ndarray, hidden: float = HIDDEN) -> np.ndarray:
    """Log odds by lips that are to be seen with some probability: what they tell or, where they are hidden, `hidden`.

    odds: (decisions, people, sources), NaN where too little of the lips is to be seen. visible: (decisions, people) in
    0..1, NaN where the face is not in the picture -> (decisions, people, sources), NaN there.
    """
    everybody = ~np.isnan(visible).any(axis=1)
    without = np.where(everybody, hidden, UNSEEN)[:, None, None]
    seen = np.where(np.isnan(odds), 0 * visible[:, :, None], visible[:, :, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.logaddexp(np.log(seen) + np.nan_to_num(odds), np.log1p(-seen) + without)
