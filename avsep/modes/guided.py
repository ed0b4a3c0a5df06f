"""Guided by speaking times: an array of microphones, and known or seen who speaks when. One track for each speaker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsep.errors import InputError, UsageError
from avsep.matching.assignment import NEW
from avsep.matching.lips import UNSEEN
from avsep.matching.synchrony import trust
from avsep.modes.base import Mode
from avsep.modes.lips_match import matched
from avsep.modes.people import lip_matcher
from avsep.modes.voices import (
    ARRAY_MODEL,
    is_by_sound,
    planned,
    separate_voices,
    separate_with_fitting_model,
)
from avsep.signals import FRAME_RATE, SAMPLE_RATE, Person, Track, Tracks, pictures_in, pictures_of
from avsep.speech.activity import gate, per_decision
from avsep.speech.turns import read_turns, speaking

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene
    from avsep.storage.recording import Estimates

MODEL = "gss"
"""Guided source separation has no weights; this is what the manifest calls it."""
FEWEST = 2
"""Microphones."""
OVERLAP_SECONDS = 5.0
"""What two segments share. The filters of both are faded into each other."""
MOST_OVERLAPPED = 0.75
"""Part of the time in which anybody speaks that two may do, so that when each speaks guides a separation."""
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

    def plan(self, scene: Scene) -> str:
        return MODEL if scene.options.turns is not None else f"{planned(scene)}, then {MODEL}"

    def labels(self, scene: Scene, contract: Contract) -> Sequence[str]:
        return () if scene.options.turns is None else list(turns_of(scene))

    def __call__(self, scene: Scene) -> Tracks:
        return by_turns(scene) if scene.options.turns is not None else by_faces(scene)


def check_turns(scene: Scene, mode: Mode) -> None:
    """Before anything is decoded. Raises UsageError where a mode is taken that no turns can guide, and what
    `read_turns` does."""
    if scene.model is not None:
        raise UsageError(
            f"--turns guides a separation that has no other model, and --model {scene.model} is one. Leave out --turns "
            "or --model"
        )
    if scene.options.voices is not None:
        raise UsageError("--turns tells who speaks, and --speakers how many. Leave out --speakers")
    if not isinstance(mode, Guided):
        count = scene.channels
        why = f"the clip has {count} channel{'s' if count > 1 else ''}. Leave out --turns"
        if scene.options.array == "off":
            why = "--array off says there is none. Leave out --turns or --array"
        elif count > 1:
            why = (
                f"the clip's {count} channels are taken for a film's. Say that they are microphones with --array "
                "FILE.json, or leave out --turns"
            )
        raise UsageError(f"--turns guides the separation of an array of microphones, and {why}")
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
    """A track for each speaker of the RTTM file, with his name as its label and, where there are faces, the one that
    his voice goes with best."""
    found = turns_of(scene)
    activity = np.stack(list(found.values()))
    warnings = [f"{name} does not speak in what is separated" for name, active in found.items() if not active.any()]
    guided = separate(scene, activity)
    speech = in_pictures(activity, pictures_in(len(guided)))
    tracks = [
        Track(f"speaker_{n:02d}", "voice", label=name, speech=active)
        for n, (name, active) in enumerate(zip(found, speech, strict=True))
    ]
    made = Tracks("multichannel", MODEL, guided, own_gains(speech), tracks, warnings)
    return with_faces(scene, made, speech) if scene.people else made


def with_faces(scene: Scene, named: Tracks, speech: np.ndarray) -> Tracks:
    """The tracks with the face of each, and silent ones after them for the people whose voice none of them is.

    speech: (tracks, pictures). A face has one voice at most, over the whole clip: the turns tell the voices apart.
    """
    people = scene.people
    match = lip_matcher(scene)
    active = per_decision(speech).T
    with scene.watch.step("synchrony"):
        scores = match(named.sources, active)
    odds = np.nan_to_num(match.odds(scores), nan=UNSEEN)
    evidence = NEW * (odds * active[:, None]).sum(axis=0)
    whose = {voice: person for person, voice in zip(*linear_sum_assignment(-evidence), strict=True)}
    whose = {voice: person for voice, person in whose.items() if evidence[person, voice] > 0}
    owned = np.zeros((len(people), len(named.tracks)))
    owned[list(whose.values()), list(whose)] = 1
    sure = trust(scores.correlation, owned * active[:, None])
    tracks = [
        with_face(track, people[whose[n]], float(sure[whose[n]]), int(scores.offsets[whose[n]]))
        if n in whose
        else track
        for n, track in enumerate(named.tracks)
    ]
    for number in sorted(set(range(len(people))) - set(whose.values())):
        silent = Track(f"speaker_{len(tracks):02d}", "person", speech=np.zeros(speech.shape[1], np.float32))
        tracks.append(with_face(silent, people[number], math.nan, int(scores.offsets[number])))
    gains = np.zeros((len(tracks), *named.gains.shape[1:]), np.float32)
    gains[: len(named.tracks)] = named.gains
    return replace(named, mode="audio-visual", gains=gains, tracks=tracks)


def with_face(track: Track, person: Person, confidence: float, offset: int) -> Track:
    """confidence: NaN where there is nothing to tell it by; offset in pictures."""
    sure = None if math.isnan(confidence) else confidence
    return replace(track, kind="person", person=person, confidence=sure, offset_seconds=offset / FRAME_RATE)


def by_faces(scene: Scene) -> Tracks:
    """A track for each person, and for each voice that no face can have. When each speaks is found with the voices that
    one microphone gives: whose each is the lips tell. Nothing of what the array gives goes back into it.

    Where two speak at once nearly all the time, that tells nothing: then the lips choose among the voices that a model
    of several microphones separates.
    """
    voices = separate_with_fitting_model(scene, None, most=max(2, len(scene.people)))
    match = lip_matcher(scene)
    found = matched(scene, voices, match)
    if not found.tracks or len(scene.microphones) < FEWEST:
        return found
    speech = np.stack([track.speech for track in found.tracks if track.speech is not None])
    near = gate(speech)
    at_once = (near > 0.5).sum(axis=0)
    mixture = scene.mixture(SAMPLE_RATE, mono=False)
    if (
        (at_once > 1).sum() > MOST_OVERLAPPED * (at_once > 0).sum()
        and at_once.max() == 2
        and scene.models.separation(ARRAY_MODEL).contract.takes(mixture.channels)
    ):
        return matched(scene, separate_voices(scene, ARRAY_MODEL, mixture), match)
    guided = separate(scene, near * speech.clip(LEAST_ACTIVITY, 1))
    return replace(found, model=f"{found.model} + {MODEL}", sources=guided, gains=own_gains(speech))


def separate(scene: Scene, activity: np.ndarray) -> Estimates:
    """Everybody at all microphones: activity (people, pictures) in 0..1 -> estimates, one for each of them."""
    from avsep.inference.sliding import SlidingSeparator
    from avsep.models.gss import GuidedSourceSeparation

    scene.check_microphones(FEWEST, f"turns guide {FEWEST} or more. Leave out --turns")
    mixture = scene.mixture(SAMPLE_RATE, mono=False)
    with scene.watch.step("separation"):
        model = GuidedSourceSeparation(most_channels=max(FEWEST, mixture.channels))
        engine = SlidingSeparator(model, scene.models.device, overlap_seconds=OVERLAP_SECONDS)
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
