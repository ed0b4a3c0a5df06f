"""Recordings that say whose voice is asked for: read, checked, and told apart from what cannot say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avsep.embeddings.speaker import (
    ENOUGH_SECONDS,
    LEAST_SECONDS,
    MODEL,
    SAME_VOICE,
    alike,
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
    from avsep.inference.models import ModelStore
    from avsep.modes.base import Scene

LONGEST_SECONDS = 600.0
"""Of a recording that are read."""

CHECKED_SECONDS = 20.0
"""Of its speech that are searched for a second voice."""


HALVES_SECONDS, OTHER_VOICE = 3.0, -0.9
"""Of speech, from which on its halves are compared, and `alike` of them below which they are taken for two voices in
turn."""


@dataclass(frozen=True, eq=False)
class Enrolment:
    """label: whose voice it is. speech: what is said in it, (time,) at SAMPLE_RATE. embedding: (size,) of `embed`."""

    label: str
    file: str
    speech: np.ndarray
    embedding: np.ndarray


def read_enrolments(scene: Scene, files: Mapping[str, str]) -> list[Enrolment]:
    """The enrolments by their labels; what is doubtful goes to the scene's warnings.

    Raises InputError for a file that cannot be read, or in which nobody speaks for LEAST_SECONDS.
    """
    say = scene.warnings.append
    found = [read_enrolment(scene.models, label, file, say, scene.folder) for label, file in files.items()]
    for number, one in enumerate(found):
        for other in found[:number]:
            value = float(alike(one.embedding, other.embedding))
            if value >= SAME_VOICE:
                scene.warnings.append(
                    f"the enrolments of {other.label} and {one.label} are alike ({value:.2f}): one may be mistaken for "
                    "the other"
                )
    return found


def read_enrolment(
    models: ModelStore, label: str, file: str, warn: Callable[[str], None], folder: Path | None = None
) -> Enrolment:
    """One enrolment; errors as in `read_enrolments`. warn: called with what is doubtful. folder: for files that are
    gone with the run."""
    sound = Estimates.of(_read(Path(file), warn)[None], SAMPLE_RATE)
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
        warn(f"{file}: {seconds:.1f} s of speech tell a voice badly; give {ENOUGH_SECONDS:g} s or more of {label}")
    start = said[: round(CHECKED_SECONDS * SAMPLE_RATE)]
    if _voices_in(models, start, folder) > 1 or _takes_turns(models, said):
        warn(f"{file}: more than one voice seems to speak in it; give a recording of {label} alone")
    embedding = embed(models.voice(MODEL), [said], models.device)[0]
    return Enrolment(label, file, said, embedding)


def _read(path: Path, warn: Callable[[str], None]) -> np.ndarray:
    """(time,) at SAMPLE_RATE, the mean of the channels."""
    from avsep.dsp.resample import model_blocks
    from avsep.media.decode import probe, read_audio

    clip = probe(path)
    if clip.duration_seconds > LONGEST_SECONDS:
        clip = probe(path, end=LONGEST_SECONDS)
        warn(f"{path}: the first {LONGEST_SECONDS / 60:g} minutes of it are used")
    return np.concatenate(list(model_blocks(read_audio(clip, warn))))


def _voices_in(models: ModelStore, said: np.ndarray, folder: Path | None) -> int:
    """How many voices speak together in samples (time,)."""
    from avsep.inference.sliding import SlidingSeparator

    engine = SlidingSeparator(models.separation(MANY_MODEL), models.device, "fast")
    sources = engine.separate(Recording.of(said, SAMPLE_RATE, folder), folder=folder)
    return voices_at_once(activity(*speech_and_level(sources)))


def _takes_turns(models: ModelStore, said: np.ndarray) -> bool:
    """Whether the first half of samples (time,) seems to be another voice than the second."""
    if len(said) < HALVES_SECONDS * SAMPLE_RATE:
        return False
    first, second = embed(models.voice(MODEL), np.array_split(said, 2), models.device)
    return float(alike(first, second)) < OTHER_VOICE
