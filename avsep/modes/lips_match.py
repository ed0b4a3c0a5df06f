"""The assigned way: separate by sound, then let the lips choose whose voice each source is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avsep.matching.assignment import assign
from avsep.matching.synchrony import Scores, trust
from avsep.modes.base import Mode
from avsep.modes.people import lip_matcher, person_tracks
from avsep.modes.voices import Voices, is_by_sound, planned, separate_with_fitting_model
from avsep.signals import Person, Tracks
from avsep.speech.activity import gate, speech_of_tracks, too_little

if TYPE_CHECKING:
    from avsep.matching.lips import LipMatcher
    from avsep.models.base import Contract
    from avsep.modes.base import Scene


class LipsMatch(Mode):
    """A scene with people, and a model that separates voices of one channel without cues."""

    needs_people = True

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if not is_by_sound(contract):
            return ""
        return None if scene.may_have_faces else "it needs faces, and the clip shows none"

    def plan(self, scene: Scene) -> str:
        return planned(scene)

    def __call__(self, scene: Scene) -> Tracks:
        voices = separate_with_fitting_model(scene, None, most=max(2, len(scene.people)))
        return matched(scene, voices, lip_matcher(scene))


def matched(scene: Scene, voices: Voices, match: LipMatcher) -> Tracks:
    """A track for each person, with those of the voices that his lips match."""
    with scene.watch.step("synchrony"):
        return share_out(scene.people, voices, match(voices.sources, voices.active), match.odds)


def share_out(people: Sequence[Person], voices: Voices, scores: Scores, odds: Callable[[Scores], np.ndarray]) -> Tracks:
    """A track for each person, with the voices that go with his lips."""
    found = assign(odds(scores), voices.active, voices.speech.shape[1], voices.energy)
    confidence = np.full(len(found.gains), np.nan)
    confidence[: len(people)] = trust(scores.correlation, found.owned * voices.active[:, None])
    speech = speech_of_tracks(found.gains, voices.speech)
    silent = too_little(speech)
    gains = np.where(silent[:, None, None], 0, found.gains * gate(voices.speech)).astype(np.float32)
    speech[silent] = 0
    confidence[silent] = np.nan
    tracks = person_tracks(people, speech, confidence, scores.offsets)
    return Tracks("audio-visual", voices.model, voices.sources, gains, tracks)
