"""Recordings that say whose voice is asked for: read, checked, and told apart from what cannot say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avsep.embeddings.speaker import (
    ENOUGH_SECONDS,
    LEAST_SECONDS,
    MODEL,
    SAME_VOICE,
    embed,
    speech_by_itself,
)
from avsep.errors import InputError
from avsep.modes.voices import MANY_MODEL
from avsep.output.tracks import TrackReader
from avsep.signals import SAMPLE_RATE
from avsep.speech.activity import activity, speech_and_level, voices_at_once
from avsep.storage.recording import Estimates, Recording

if TYPE_CHECKING:
    from avsep.modes.base import Scene

LONGEST_SECONDS = 600.0
"""Of a recording that are read."""

CHECKED_SECONDS = 20.0
"""Of its speech that are searched for a second voice."""


HALVES_SECONDS, OTHER_VOICE = 3.0, 0.1
"""Of speech, from which on its halves are compared, and the cosine of their embeddings below which they are taken for
two voices in turn."""


@dataclass(frozen=True, eq=False)
class Enrolment:
    """label: whose voice it is. speech: what is said in it, (time,) at SAMPLE_RATE. embedding: (dims,) of length 1."""

    label: str
    file: str
    speech: np.ndarray
    embedding: np.ndarray


def read_enrolments(scene: Scene, files: Mapping[str, str]) -> list[Enrolment]:
    """The enrolments by their labels; what is doubtful goes to the scene's warnings.

    Raises InputError for a file that cannot be read, or in which nobody speaks for LEAST_SECONDS.
    """
    found = [read_enrolment(scene, label, file) for label, file in files.items()]
    for number, one in enumerate(found):
        for other in found[:number]:
            alike = float(one.embedding @ other.embedding)
            if alike >= SAME_VOICE:
                scene.warnings.append(
                    f"the enrolments of {other.label} and {one.label} are alike ({alike:.2f}): one may be mistaken for "
                    "the other"
                )
    return found


def read_enrolment(scene: Scene, label: str, file: str) -> Enrolment:
    """One enrolment; errors as in `read_enrolments`."""
    sound = Estimates.of(_read(scene, Path(file))[None], SAMPLE_RATE)
    speech, _ = speech_and_level(sound)
    (said,) = speech_by_itself(TrackReader(sound, np.ones((1, 1, speech.shape[1]), np.float32)), speech)
    seconds = len(said) / SAMPLE_RATE
    if seconds < LEAST_SECONDS:
        what = f"somebody speaks for {seconds:.1f} s only" if seconds else "nobody speaks in it"
        raise InputError(
            f"{file}: {what}; a voice is told from {LEAST_SECONDS:g} s on. Give {ENOUGH_SECONDS:g} s or more of "
            f"{label} alone"
        )
    if seconds < ENOUGH_SECONDS:
        scene.warnings.append(
            f"{file}: {seconds:.1f} s of speech tell a voice badly; give {ENOUGH_SECONDS:g} s or more of {label}"
        )
    if _voices_in(scene, said[: round(CHECKED_SECONDS * SAMPLE_RATE)]) > 1 or _takes_turns(scene, said):
        scene.warnings.append(f"{file}: more than one voice seems to speak in it; give a recording of {label} alone")
    embedding = embed(scene.models.voice(MODEL), [said], scene.models.device)[0]
    return Enrolment(label, file, said, embedding)


def _read(scene: Scene, path: Path) -> np.ndarray:
    """(time,) at SAMPLE_RATE, the mean of the channels."""
    from avsep.dsp.resample import model_blocks
    from avsep.media.decode import probe, read_audio

    clip = probe(path)
    if clip.duration_seconds > LONGEST_SECONDS:
        clip = probe(path, end=LONGEST_SECONDS)
        scene.warnings.append(f"{path}: the first {LONGEST_SECONDS / 60:g} minutes of it are used")
    return np.concatenate(list(model_blocks(read_audio(clip, scene.warnings.append))))


def _voices_in(scene: Scene, said: np.ndarray) -> int:
    """How many voices speak together in samples (time,)."""
    from avsep.inference.sliding import SlidingSeparator

    engine = SlidingSeparator(scene.models.separation(MANY_MODEL), scene.models.device, "fast")
    sources = engine.separate(Recording.of(said, SAMPLE_RATE, scene.folder), folder=scene.folder)
    return voices_at_once(activity(*speech_and_level(sources)))


def _takes_turns(scene: Scene, said: np.ndarray) -> bool:
    """Whether the first half of samples (time,) seems to be another voice than the second."""
    if len(said) < HALVES_SECONDS * SAMPLE_RATE:
        return False
    first, second = embed(scene.models.voice(MODEL), np.array_split(said, 2), scene.models.device)
    return float(first @ second) < OTHER_VOICE
