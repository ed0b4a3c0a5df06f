"""Names for the tracks of a clip, by a library of people; who is new is added to it where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avsep.embeddings.face import load_face_embedder
from avsep.embeddings.speaker import ENOUGH_SECONDS
from avsep.errors import UsageError
from avsep.output.manifest import DOUBTFUL
from avsep.people.library import Embeddings, Library, changed_library, check_library, open_library
from avsep.people.matching import NEW, Likeness, Match, match
from avsep.people.traits import Traits, face_of, mean_of, voices_of
from avsep.results.result import VOICE_KINDS
from avsep.signals import Candidate, Identity, Track, Tracks

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene

MENTIONED = 0.5
"""Probability from which on a warning tells who a track without a name may be."""


def check_people(scene: Scene, contract: Contract) -> list[str]:
    """The names that tracks may get by the library. Raises UsageError for options that exclude each other and for a
    model without voices, InputError and OutputError where the library cannot be used."""
    options = scene.options
    assert options.people is not None
    if contract.kind != "voice":
        raise UsageError(
            f"--people names voices, and model {scene.model!r} separates {contract.kind}s. Leave out one of them"
        )
    if options.enroll or options.target:
        option = "--enroll" if options.enroll else "--target"
        raise UsageError(
            f"--people and {option} both name tracks. Leave out {option}, and add its file with 'avsep people add'"
        )
    return [entry.name for entry in check_library(Path(options.people), create=options.learn).entries]


def name_tracks(scene: Scene, tracks: Tracks) -> Tracks:
    """The tracks of people and voices that have no label yet, with the names of the library as labels.

    learn: who is nobody of it is added as person-1, person-2, ... under the lock under which he was looked up, so that
    several jobs give one person one name. Errors as in `check_people`.
    """
    options = scene.options
    assert options.people is not None
    numbers = [n for n, track in enumerate(tracks.tracks) if track.kind in VOICE_KINDS and not track.label]
    traits = traits_of_tracks(scene, tracks, numbers)
    taken = [track.label for track in tracks.tracks if track.label]
    folder = Path(options.people)
    if options.learn:
        with changed_library(folder, create=True) as library:
            found = _found(library, traits, taken)
            told = [
                _learnt(scene, library, tracks.tracks[n], one, identity)
                for n, one, identity in zip(numbers, traits, found, strict=True)
            ]
    else:
        with open_library(folder) as library:
            told = _found(library, traits, taken)
    named = list(tracks.tracks)
    for n, identity in zip(numbers, told, strict=True):
        named[n] = _named(named[n], identity)
    return replace(tracks, tracks=named)


def traits_of_tracks(scene: Scene, tracks: Tracks, numbers: Sequence[int]) -> list[Traits]:
    """What some of the tracks are told by."""
    voices, seconds = voices_of(scene, tracks)
    found = []
    with scene.watch.step("identify"):
        has_faces = any(tracks.tracks[n].person for n in numbers)
        embedder, warning = load_face_embedder(scene.models.device) if has_faces else (None, None)
        if warning:
            scene.warnings.append(f"--people goes by voices only: {warning}")
        for n in numbers:
            track, voice = tracks.tracks[n], voices[n]
            # A voice that may be another's tells nothing about this face.
            doubtful = track.confidence is not None and track.confidence < DOUBTFUL
            face = None if embedder is None else face_of(track, embedder)
            has_voice = not doubtful and not np.isnan(voice).any()
            found.append(Traits(face, voice if has_voice else None, float(seconds[n]) if has_voice else 0.0))
    return found


def _found(library: Library, traits: Sequence[Traits], taken: Sequence[str]) -> list[Identity]:
    """taken: names that other tracks have already."""
    entries = [entry for entry in library.entries if entry.name not in taken]
    people = [traits_of(library.embeddings(entry)) for entry in entries]
    names = [entry.name for entry in entries]
    return [_identity(one, names) for one in match(traits, people)]


def traits_of(embeddings: Embeddings) -> Traits:
    """What somebody in a library is told by: the means of the faces, and of the voices by their seconds."""
    return Traits(
        mean_of(embeddings.faces) if len(embeddings.faces) else None,
        np.average(embeddings.voices, axis=0, weights=embeddings.seconds) if len(embeddings.voices) else None,
        float(embeddings.seconds.sum()),
    )


def _identity(made: Match, names: Sequence[str]) -> Identity:
    candidates = [Candidate(names[n], made.probabilities[n], _similarity(made.likeness[n])) for n in made.order]
    found = next((one for one in candidates if made.who is not None and one.name == names[made.who]), None)
    return Identity(found, made.stranger, next((one for one in candidates if one is not found), None))


def _similarity(alike: Likeness | None) -> dict[str, float]:
    both = {"face": alike.face, "voice": alike.voice} if alike else {}
    return {name: value for name, value in both.items() if value is not None}


def _learnt(scene: Scene, library: Library, track: Track, traits: Traits, identity: Identity) -> Identity:
    """The same, or who was added. Nobody is added who may be somebody known, who is silent, or who is told by too
    little to be known again."""
    enough = traits.voice is not None and (traits.face is not None or traits.seconds >= ENOUGH_SECONDS)
    if identity.found is not None or identity.stranger < NEW or not enough:
        return identity
    source = scene.clip.path.name.encode("utf-8", "backslashreplace").decode()
    entry = library.learn(_embeddings_of(traits, _picture(track)), source)
    return replace(identity, found=Candidate(entry.name, identity.stranger, {}), learnt=True)


def _embeddings_of(traits: Traits, picture: bytes | None = None) -> Embeddings:
    """One face, one voice or both, to be put into a library."""
    face, voice = traits.face, traits.voice
    return Embeddings(
        np.zeros((0, 0), np.float32) if face is None else face[None].astype(np.float32),
        np.zeros((0, 0), np.float32) if voice is None else voice[None].astype(np.float32),
        np.array([] if voice is None else [traits.seconds], np.float32),
        picture,
    )


def _picture(track: Track) -> bytes | None:
    from avsep.media.encode import jpeg_of

    if track.person is None:
        return None
    portraits = max(track.person.tracks, key=len).portraits
    return jpeg_of(portraits[0]) if len(portraits) else None


def _named(track: Track, identity: Identity) -> Track:
    if identity.found is not None:
        return replace(track, label=identity.found.name, identity=identity)
    nearest = identity.nearest
    if nearest is None or nearest.probability < MENTIONED:
        return replace(track, identity=identity)
    warning = f"it may be {nearest.name} (probability {nearest.probability:.2f}), which is too little for the name"
    return replace(track, identity=identity, warnings=(*track.warnings, warning))
