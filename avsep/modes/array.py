"""By several microphones: one track for each voice, from a model that takes all channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsep.modes.base import Mode
from avsep.modes.voices import (
    ARRAY_MODEL,
    DEFAULT_MODEL,
    LONE_MODEL,
    MANY_MODEL,
    Voices,
    check_wanted,
    counted_voices,
    found_voices,
    is_by_sound,
    planned,
    separate_voices,
    separate_with_fitting_model,
    told,
    voice_tracks,
)
from avsep.signals import SAMPLE_RATE, Tracks
from avsep.speech.activity import FAR_BELOW as FAR_BELOW_OF_ONE

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene
    from avsep.storage.recording import Recording

FAR_BELOW = 8.0
"""dB below the louder source at which a source counts as its reverberation, not as a voice, of a model that gives as
many sources as there are microphones. Of 45 simulated recordings of one to three voices 37 are given their number, with
the 25 dB that hold for one microphone 22 (tests/benchmarks/array_rooms.py --each 5)."""

BLIND_MODEL = "fastica"
"""For more than two voices. Three talkers gain 10.7 dB in meetings of 30 s (tests/benchmarks/meetings.py), as much as
with auxIVA; in 8 s in which all speak 6.1 dB, where beams from what MANY_MODEL separates, and auxIVA, gain 4.1 dB."""


class Array(Mode):
    """A scene with an array: with a model of several microphones without cues, or with the bundled ones."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if scene.model is None and is_by_sound(contract):
            return None if scene.is_array else ""
        if contract.channels[1] == 1 or contract.cues or contract.kind != "voice":
            return ""
        return scene.channel_misfit(contract)

    def plan(self, scene: Scene) -> str:
        wanted = scene.options.voices
        if scene.model is not None:
            return planned(scene)
        if wanted is not None:
            return fitting_model(scene, scene.channels, wanted)
        fitting = dict.fromkeys(fitting_model(scene, scene.channels, at_once) for at_once in (2, 3))
        return f"{LONE_MODEL} and {MANY_MODEL}, then {' or '.join(fitting)}"

    def __call__(self, scene: Scene) -> Tracks:
        mixture = scene.mixture(SAMPLE_RATE, mono=False)
        if scene.model is None:
            return _by_default(scene, mixture)
        model = scene.models.separation(scene.model)
        fewest = model.contract.channels[0]
        why = f"model {scene.model!r} takes {fewest} or more. Give --array off, or a model of one channel"
        scene.check_microphones(fewest, why)
        if scene.positions is not None:
            model = model.with_positions(scene.positions[list(scene.microphones)])
        model = told(model, scene.options.voices)
        name = scene.models.card(scene.model).name
        # One that gives what it finds gives reverberation, too.
        far_below = FAR_BELOW if model.contract.sources is None else FAR_BELOW_OF_ONE
        return voice_tracks(scene, found_voices(scene, name, scene.separate(model, mixture), far_below), "multichannel")


def _by_default(scene: Scene, mixture: Recording) -> Tracks:
    """With the bundled models: how many speak at a time is told by the reference microphone."""
    at_once = scene.options.voices
    if mixture.channels == 1:
        return voice_tracks(scene, separate_with_fitting_model(scene, at_once), "audio-only")
    if at_once is None:
        voices, at_once = counted_voices(scene)
        if at_once < 2:
            return voice_tracks(scene, voices, "audio-only")
    name = fitting_model(scene, mixture.channels, at_once)
    if scene.models.separation(name).contract.channels[1] == 1:
        made = _beams(scene, name, mixture)
    else:
        made = separate_voices(scene, name, mixture, FAR_BELOW if name == BLIND_MODEL else FAR_BELOW_OF_ONE)
    return voice_tracks(scene, made, "multichannel")


def fitting_model(scene: Scene, channels: int, at_once: int) -> str:
    """The bundled model for so many voices at a time at so many microphones. One of a single channel where none takes
    that many microphones, or where there are fewer of them than voices: what it separates steers a beamformer."""
    name, otherwise = (BLIND_MODEL, MANY_MODEL) if at_once > 2 else (ARRAY_MODEL, DEFAULT_MODEL)
    fits = at_once <= channels and scene.models.separation(name).contract.takes(channels)
    return name if fits else otherwise


def _beams(scene: Scene, name: str, mixture: Recording) -> Voices:
    """Any number of microphones: the voices that a model separates at the reference microphone steer a beamformer."""
    from avsep.models.beam_tasnet import BeamTasNet

    separator = scene.models.separation(name)
    assert separator.contract.sources is not None
    check_wanted(scene.options.voices, name, separator.contract.sources)
    beams = BeamTasNet(separator, most_channels=mixture.channels)
    return found_voices(scene, f"{name} + MVDR", scene.separate(beams, mixture))
