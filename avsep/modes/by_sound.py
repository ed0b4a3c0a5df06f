"""By sound alone: one track for each voice, in the order of how much they speak."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsep.modes.base import Mode
from avsep.modes.voices import is_by_sound, planned, separate_with_fitting_model, voice_tracks
from avsep.signals import Tracks

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene


class BySound(Mode):
    """Any scene, with a model that separates voices of one channel without cues."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        return None if is_by_sound(contract) else ""

    def plan(self, scene: Scene) -> str:
        return planned(scene)

    def __call__(self, scene: Scene) -> Tracks:
        return voice_tracks(scene, separate_with_fitting_model(scene, scene.options.voices), "audio-only")
