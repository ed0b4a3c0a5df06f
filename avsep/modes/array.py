"""By several microphones: one track for each voice, from a model that takes all channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsep.errors import InputError
from avsep.modes.base import Mode
from avsep.modes.voices import separate_voices, voice_tracks
from avsep.signals import SAMPLE_RATE, Tracks

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene

FAR_BELOW = 8.0
"""dB below the louder source at which a source counts as its reverberation, not as a voice: with more microphones than
voices some sources are that. Of 45 simulated recordings of one to three voices 37 are given their number, with the
25 dB that hold for one microphone 22 (tests/benchmarks/array_rooms.py --each 5)."""


class Array(Mode):
    """A scene with several channels, and a model of several microphones without cues."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if contract.channels[1] == 1 or contract.cues or contract.kind != "voice":
            return ""
        return scene.channel_misfit(contract)

    def __call__(self, scene: Scene) -> Tracks:
        assert scene.model is not None
        mixture = scene.mixture(SAMPLE_RATE, mono=False)
        fewest = scene.models.separation(scene.model).contract.channels[0]
        if mixture.channels < fewest:
            raise InputError(
                f"{scene.clip.path}: {mixture.channels} of {scene.channels} channels can be used "
                f"({'; '.join(scene.warnings)}), and model {scene.model!r} takes {fewest} or more. "
                "Give --array off, or a model of one channel"
            )
        voices = separate_voices(scene, scene.model, mixture, FAR_BELOW)
        return voice_tracks(scene, voices, "multichannel")
