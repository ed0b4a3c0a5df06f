"""By several microphones: one track for each voice, from a model that takes all channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsep.errors import InputError
from avsep.modes.base import Mode
from avsep.modes.voices import (
    ARRAY_MODEL,
    MANY_MODEL,
    Voices,
    check_wanted,
    found_voices,
    is_by_sound,
    separate_voices,
    voice_tracks,
)
from avsep.signals import SAMPLE_RATE, Tracks
from avsep.speech.activity import voices_at_once

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene
    from avsep.storage.recording import Recording

FAR_BELOW = 8.0
"""dB below the louder source at which a source counts as its reverberation, not as a voice: with more microphones than
voices some sources are that. Of 45 simulated recordings of one to three voices 37 are given their number, with the
25 dB that hold for one microphone 22 (tests/benchmarks/array_rooms.py --each 5)."""


class Array(Mode):
    """A scene with an array: with a model of several microphones without cues, or with the bundled ones."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if scene.model is None and is_by_sound(contract):
            return None if scene.is_array else ""
        if contract.channels[1] == 1 or contract.cues or contract.kind != "voice":
            return ""
        return scene.channel_misfit(contract)

    def __call__(self, scene: Scene) -> Tracks:
        mixture = scene.mixture(SAMPLE_RATE, mono=False)
        if scene.model is None:
            return _by_default(scene, mixture)
        fewest = scene.models.separation(scene.model).contract.channels[0]
        if mixture.channels < fewest:
            raise InputError(
                f"{scene.clip.path}: {mixture.channels} of {scene.channels} channels can be used "
                f"({'; '.join(scene.warnings)}), and model {scene.model!r} takes {fewest} or more. "
                "Give --array off, or a model of one channel"
            )
        voices = separate_voices(scene, scene.model, mixture, FAR_BELOW)
        return voice_tracks(scene, voices, "multichannel")


def _by_default(scene: Scene, mixture: Recording) -> Tracks:
    """With the bundled models: how many speak at a time is told by the reference microphone."""
    wanted = scene.options.speakers
    if wanted is None or mixture.channels == 1:
        voices = separate_voices(scene, MANY_MODEL, scene.mixture())
        at_once = wanted or voices_at_once(voices.active)
        if at_once < 2 or mixture.channels == 1:
            return voice_tracks(scene, voices, "audio-only")
    else:
        at_once = wanted
    made = _beams_of_many(scene, mixture) if at_once > 2 else separate_voices(scene, ARRAY_MODEL, mixture, FAR_BELOW)
    return voice_tracks(scene, made, "multichannel")


def _beams_of_many(scene: Scene, mixture: Recording) -> Voices:
    """More than two voices: those that the reference microphone gives steer a beamformer."""
    from avsep.models.beam_tasnet import BeamTasNet

    separator = scene.models.separation(MANY_MODEL)
    assert separator.contract.sources is not None
    check_wanted(scene.options.speakers, MANY_MODEL, separator.contract.sources)
    beams = BeamTasNet(separator, most_channels=mixture.channels)
    return found_voices(scene, f"{MANY_MODEL} + MVDR", scene.separate(beams, mixture))
