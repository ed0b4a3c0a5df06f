"""Guided by speaking times: an array of microphones, and known or seen who speaks when. One track for each speaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from avsep.errors import InputError, UsageError
from avsep.modes.base import Mode
from avsep.modes.lips_match import LipsMatch
from avsep.modes.voices import is_by_sound
from avsep.signals import SAMPLE_RATE, Track, Tracks, pictures_in, pictures_of
from avsep.speech.activity import gate
from avsep.speech.turns import read_turns, speaking

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene
    from avsep.storage.recording import Estimates

MODEL = "gss"
"""Guided source separation has no weights; this is what the manifest calls it."""
OVERLAP_SECONDS = 5.0
"""What two segments share. The filters of both are faded into each other."""
LEAST_ACTIVITY = 0.1
"""Of a person whose track has speech, as the faces tell: a separated voice may be soft, and the detector unsure."""


class Guided(Mode):
    """A scene with an array, and either turns (--turns) or people who are seen. It needs no model of its own; the
    people's voices are first found with one that separates voices of one channel."""

    needs_people = True

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if scene.model is not None and not is_by_sound(contract):
            return ""
        guide = scene.options.turns is not None or scene.may_have_faces
        return None if scene.is_array and guide else ""

    def __call__(self, scene: Scene) -> Tracks:
        return by_turns(scene) if scene.options.turns is not None else by_faces(scene)


def check_turns(scene: Scene, mode: Mode) -> None:
    """Before anything is decoded. Raises UsageError where a mode is taken that no turns can guide, and what
    `read_turns` does."""
    if not isinstance(mode, Guided):
        if scene.is_array:
            why, instead = f"{scene.model} separates without them", "--turns or --model"
        else:
            count = scene.channels
            why, instead = f"the clip has {count} channel{'s' if count > 1 else ''}", "--turns"
        raise UsageError(f"--turns guides the separation of an array of microphones, and {why}. Leave out {instead}")
    turns_of(scene)


def turns_of(scene: Scene) -> Mapping[str, np.ndarray]:
    """How much of each picture each speaker's turns cover, (pictures,) in 0..1 by name. Raises InputError where no turn
    lies in what is separated."""
    assert scene.options.turns is not None
    clip = scene.clip
    pictures = pictures_in(round(clip.duration_seconds * SAMPLE_RATE))
    told = read_turns(scene.options.turns, clip.path.stem)
    found = {name: speaking(turns, pictures, clip.start_seconds) for name, turns in told.items()}
    if not any(active.any() for active in found.values()):
        end = clip.start_seconds + clip.duration_seconds
        raise InputError(
            f"{scene.options.turns}: no turn lies in what is separated, {clip.start_seconds:.2f} to {end:.2f} s. Give "
            "the turns of this recording, in seconds from the beginning of its sound"
        )
    return found


def by_turns(scene: Scene) -> Tracks:
    """A track for each speaker of the RTTM file, with his name as its label."""
    found = turns_of(scene)
    activity = np.stack(list(found.values()))
    warnings = [f"{name} does not speak in what is separated" for name, active in found.items() if not active.any()]
    guided = separate(scene, activity)
    speech = in_pictures(activity, pictures_in(len(guided)))
    tracks = [
        Track(f"speaker_{n:02d}", "voice", label=name, speech=active)
        for n, (name, active) in enumerate(zip(found, speech, strict=True))
    ]
    return Tracks("multichannel", MODEL, guided, own_gains(speech), tracks, warnings)


def by_faces(scene: Scene) -> Tracks:
    """A track for each person, and for each voice that no face can have. When each speaks is found with the voices that
    one microphone gives: whose each is the lips tell. Nothing of what the array gives goes back into it."""
    matched = LipsMatch()(scene)
    if not matched.tracks:
        return matched
    speech = np.stack([track.speech for track in matched.tracks if track.speech is not None])
    near = gate(speech)
    guided = separate(scene, near * speech.clip(LEAST_ACTIVITY, 1))
    return replace(matched, model=f"{matched.model} + {MODEL}", sources=guided, gains=own_gains(speech))


def separate(scene: Scene, activity: np.ndarray) -> Estimates:
    """Everybody at all microphones: activity (people, pictures) in 0..1 -> estimates, one for each of them."""
    from avsep.inference.sliding import SlidingSeparator
    from avsep.models.gss import GuidedSourceSeparation

    mixture = scene.mixture(SAMPLE_RATE, mono=False)
    with scene.watch.step("separation"):
        engine = SlidingSeparator(GuidedSourceSeparation(), scene.models.device, overlap_seconds=OVERLAP_SECONDS)
        return engine.separate(mixture, Activity(activity), scene.folder, scene.progress)


class Activity:
    """Who speaks when, by time. activity: (people, pictures) in 0..1."""

    def __init__(self, activity: np.ndarray) -> None:
        self.activity = activity

    @property
    def sources(self) -> int:
        return len(self.activity)

    def read(self, start_seconds: float, stop_seconds: float) -> tuple[list[int], Mapping[str, np.ndarray]]:
        """Who speaks in that stretch, and activity (people, pictures)."""
        first, last = pictures_of(start_seconds, stop_seconds)
        part = in_pictures(self.activity[:, first:], last - first)
        present = np.flatnonzero(part.any(axis=1)).tolist()
        return present, {"activity": part[present].astype(np.float32)}


def in_pictures(activity: np.ndarray, pictures: int) -> np.ndarray:
    """Activity cut, or made longer by silence, to so many pictures."""
    cut = activity[:, :pictures]
    return np.pad(cut, ((0, 0), (0, pictures - cut.shape[1])))


def own_gains(speech: np.ndarray) -> np.ndarray:
    """Track i is source i around its speech: (tracks, pictures) -> (tracks, tracks, pictures)."""
    return np.eye(len(speech), dtype=np.float32)[:, :, None] * gate(speech)
