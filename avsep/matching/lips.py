"""How well the lips of each person go with sources, once for a scene's lips however often sources change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avsep.matching.synchrony import Scores, embed_lips, embed_voices, score_people
from avsep.models.synchrony import Synchrony
from avsep.signals import Person, ProgressHook
from avsep.storage.recording import Estimates
from avsep.timing import Stopwatch


class LipMatcher:
    """Holds sources against the lips of people, at each person's offset. av_offset: seconds the sound is later than the
    picture, None to find it for each person."""

    def __init__(
        self,
        synchrony: Synchrony,
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
        self._lips = {id(track): lips for track, lips in zip(tracks, embedded, strict=True)}

    def __call__(self, sources: Estimates, active: np.ndarray) -> Scores:
        """active: (decisions, sources) in 0..1."""
        with self.watch.step("synchrony"):
            voices = embed_voices(self.synchrony, sources, self.device)
            return score_people(self.people, self._lips, voices, active, self.av_offset)

    def odds(self, scores: Scores) -> np.ndarray:
        """Log odds that each person's lips speak with each source: (decisions, people, sources), NaN where there are no
        lips to be seen."""
        slope, bias = self.synchrony.slope.item(), self.synchrony.bias.item()
        return slope * scores.correlation + bias + scores.moving[:, :, None]
