"""Voices separated by sound alone, with the weights that fit their number: what several modes begin with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avsep.embeddings.speaker import MODEL as VOICE
from avsep.errors import UsageError
from avsep.matching.talkers import MOSTLY_ALONE, alone_part, own_speech, talker_gains
from avsep.modes.base import Scene
from avsep.signals import DECISION_FRAMES, Track, Tracks
from avsep.speech.activity import (
    FAR_BELOW,
    activity,
    count_voices,
    speech_and_level,
    speech_of_tracks,
    takes_turns,
    too_little,
    voices_at_once,
)
from avsep.storage.recording import Estimates, Recording

if TYPE_CHECKING:
    from avsep.inference.quality import Quality
    from avsep.models.base import Contract, SeparationModel

DEFAULT_MODEL = "ensemble-2spk"
MANY_MODEL = "split-3spk"
"""For more voices at a time than DEFAULT_MODEL separates, and to tell whether there are as many."""
LONE_MODEL = "audio-2spk"
"""Tells whether a voice is alone, which all of its estimates together then are. They leave it as it is, where
MANY_MODEL takes away what little a room or a codec adds. Voices that take turns have an estimate each, where
MANY_MODEL, trained on voices that overlap, gives one to both."""
ARRAY_MODEL = "array-2spk"
"""In place of DEFAULT_MODEL where there is an array."""


def default_models(voices: int | None) -> list[str]:
    """The bundled weights for so many voices; several where it is not known how many speak at a time, the first of
    which tell which fit."""
    if voices is None or voices > 2:
        return [LONE_MODEL, MANY_MODEL, DEFAULT_MODEL]
    return [DEFAULT_MODEL]


def fitting_weights(at_once: int) -> str:
    """The bundled weights for so many voices at a time."""
    return MANY_MODEL if at_once > 2 else DEFAULT_MODEL


def planned(scene: Scene) -> str:
    """The model that was asked for, or the bundled ones that may separate voices, in words."""
    names = [scene.model] if scene.model else default_models(scene.options.voices)
    return " or ".join(scene.models.card(name).name for name in names)


def is_by_sound(contract: Contract) -> bool:
    """Whether a model separates voices of one channel without cues."""
    return not contract.cues and contract.kind == "voice" and contract.channels[0] == 1


@dataclass(frozen=True, eq=False)
class Voices:
    """Sources and how much of each is speech. model: name of the weights. speech: (sources, pictures) probability;
    level: (sources, pictures) in dB; active: (decisions, sources) in 0..1, how much each is a voice of its own."""

    model: str
    sources: Estimates
    speech: np.ndarray
    level: np.ndarray
    active: np.ndarray

    @property
    def own(self) -> np.ndarray:
        """(sources, pictures) bool, see `own_speech`."""
        return own_speech(self.speech, self.level)

    @property
    def energy(self) -> np.ndarray:
        """(decisions, sources), of no certain unit."""
        power = 10 ** (self.level.T / 10)
        starts = np.arange(0, len(power), DECISION_FRAMES)
        return np.add.reduceat(power, starts) if len(power) else power


def separate_voices(
    scene: Scene,
    name: str,
    mixture: Recording,
    far_below: float = FAR_BELOW,
    wanted: int | None = None,
    quality: Quality | None = None,
) -> Voices:
    """The voices that one model separates. far_below: see `activity`. wanted: how many there are, for models that would
    find it out. quality: in place of that of the options. Raises UsageError where such a model does not separate as
    many."""
    model = told(scene.models.separation(name), wanted)
    sources = scene.separate(model, mixture, quality=quality)
    return found_voices(scene, scene.models.card(name).name, sources, far_below)


def counted_voices(scene: Scene, most: float = math.inf) -> tuple[Voices, int]:
    """Voices, separated in one pass whatever the quality, and how many there are at a time, those that take turns
    counting as two. One that is alone all of the time is one source. most: from how many on it makes no difference."""
    pair = separate_voices(scene, LONE_MODEL, scene.mixture(), quality="fast")
    turns = takes_turns(pair.active)
    if turns and most <= 2:
        return pair, 2
    if turns or voices_at_once(pair.active) > 1:
        # What a room adds to one voice may look like another one to the first network or the second, seldom to both.
        many = separate_voices(scene, MANY_MODEL, scene.mixture(), quality="fast")
        at_once = voices_at_once(many.active)
        if turns or at_once > 1:
            return many, max(2, at_once)
    alone = found_voices(scene, pair.model, pair.sources.summed())
    return alone, min(1, voices_at_once(alone.active))


def told(model: SeparationModel, wanted: int | None) -> SeparationModel:
    """The model, told the number of voices where that is known and it would find it out."""
    if wanted is None or model.contract.sources is not None:
        return model
    try:
        return model.with_sources(wanted)
    except ValueError as error:
        raise UsageError(f"--speakers is {wanted}, which the model does not separate: {error}") from error


def found_voices(scene: Scene, model: str, sources: Estimates, far_below: float = FAR_BELOW) -> Voices:
    """How much of each source is speech."""
    with scene.watch.step("speech"):
        speech, level = speech_and_level(sources, scene.progress)
    return Voices(model, sources, speech, level, activity(speech, level, far_below))


def separate_with_fitting_model(scene: Scene, wanted: int | None, most: float = math.inf) -> Voices:
    """The voices, from the weights for as many as there are at a time: `wanted`, or estimated to be up to `most`.

    Raises UsageError where more are wanted than a model separates.
    """
    name = scene.model
    if name is None and wanted is not None and wanted <= 2:
        name = DEFAULT_MODEL
    elif name is None:
        voices, at_once = counted_voices(scene, most)
        at_once = int(min(at_once, most))
        if wanted is not None and alone_part(voices.own) < MOSTLY_ALONE:
            at_once = wanted  # all of them speak together
        name = fitting_weights(at_once)
        if at_once < 2 or (voices.model == name and scene.options.quality == "fast"):
            return voices
        wanted = at_once
    sources = scene.models.separation(name).contract.sources
    if sources is not None:
        check_wanted(wanted, scene.models.card(name).name, sources)
    return separate_voices(scene, name, scene.mixture(), wanted=wanted)


def check_wanted(wanted: int | None, model: str, sources: int) -> None:
    """UsageError where more voices are wanted than a model separates."""
    if wanted is not None and wanted > sources:
        raise UsageError(
            f"--speakers is {wanted}; model {model!r} separates up to {sources} voices here. "
            f"Give 1 to {sources}, or another model (avsep models lists them)."
        )


def voice_tracks(scene: Scene, voices: Voices, mode: str) -> Tracks:
    """A track for each voice, the one that speaks most first; none where nobody speaks.

    Raises UsageError where more are wanted than there are sources, unless they take turns.
    """
    wanted = scene.options.voices
    warnings = []
    if wanted is None and too_little(voices.speech).all():
        gains = np.zeros((0, *voices.speech.shape), np.float32)
        warnings.append("nobody speaks, so there is no track: all of the sound is in the residual")
    else:
        voices, gains = _told_apart(scene, voices, wanted)
    speech = speech_of_tracks(gains, voices.speech)
    tracks = [Track(f"speaker_{n:02d}", "voice", speech=speech[n]) for n in range(len(gains))]
    return Tracks(mode, voices.model, voices.sources, gains, tracks, warnings)


def _told_apart(scene: Scene, voices: Voices, wanted: int | None) -> tuple[Voices, np.ndarray]:
    """The voices and the gains (tracks, sources, pictures) of a track for each: those of talkers where these are not
    fewer than are wanted or speak at a time. Raises UsageError as `voice_tracks`."""
    by_source = _of_sources(voices, wanted)
    by_talker = _of_talkers(scene, voices, wanted)
    if len(by_talker) >= (wanted or len(by_source)):
        return voices, by_talker
    if wanted is not None and scene.model is None and len(by_source) < wanted and not voices.sources.of_array:
        # Not as many seem to speak: the weights for so many are to find them.
        name = fitting_weights(wanted)
        check_wanted(wanted, name, scene.models.separation(name).contract.sources or 0)
        voices = separate_voices(scene, name, scene.mixture())
        by_source = _of_sources(voices, wanted)
    check_wanted(wanted, voices.model, len(by_source))
    return voices, by_source


def _of_sources(voices: Voices, wanted: int | None) -> np.ndarray:
    """Gains (tracks, sources, pictures) by which each source is one voice, `wanted` of them or as many as are found,
    up to all."""
    sources, pictures = voices.speech.shape
    count = min(wanted or count_voices(voices.active), sources)
    order = np.argsort(-voices.active.sum(axis=0), kind="stable")
    gains = np.zeros((count, sources, pictures), np.float32)
    for track in range(count):
        gains[track, order[track]] = 1
    if count:
        # With fewer voices than sources, what the model split off goes back to the last voice.
        gains[count - 1, order[count:]] = 1
    return gains


def _of_talkers(scene: Scene, voices: Voices, wanted: int | None) -> np.ndarray:
    """Gains by which each voice is a track, whichever source it is in at a time; none where voices cannot be told
    apart, because they speak together most of the time, or need not be."""
    own = voices.own
    if wanted == 1 or voices.sources.of_array or alone_part(own) < MOSTLY_ALONE:
        return np.zeros((0, *own.shape), np.float32)
    with scene.watch.step("talkers"):
        return talker_gains(scene.models.voice(VOICE), voices.sources, own, wanted)
