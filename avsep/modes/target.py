"""Whoever is asked for, by a recording of the voice or a picture of the face: a track for each, and the rest as the
residual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsep.embeddings.speaker import SAME_VOICE, alike
from avsep.errors import UsageError
from avsep.modes.enrolment import read_enrolments
from avsep.modes.enrolment_condition import MODE
from avsep.people.traits import face_embedder, face_of, voices_of
from avsep.signals import Choice, Target, Track, Tracks

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene

NEARLY = 0.1
"""Difference of similarity within which another track may be meant as well."""


def check_targets(scene: Scene, contract: Contract) -> None:
    """Before the clip is decoded: read the enrolments and the pictures, which then lie in the scene.

    Raises UsageError for options that exclude each other and for a model or a clip that has no voices or no faces,
    InputError for files that cannot tell a voice or a face.
    """
    options = scene.options
    option = "--enroll" if options.enroll else "--target"
    if contract.kind != "voice":
        raise UsageError(
            f"{option} asks for somebody's voice, and model {scene.model!r} separates {contract.kind}s. Leave out one "
            "of them"
        )
    if options.residual is not None:
        raise UsageError(
            f"--residual splits what people and voices leave, and with {option} other voices are left too. Leave out "
            "one of them"
        )
    if both := sorted(set(options.enroll) & set(options.target)):
        raise UsageError(f"{both[0]} is asked for by --enroll and by --target. Give each of them another name")
    if options.target and "enrolment" in contract.cues:
        raise UsageError(f"--target finds faces, and model {scene.model!r} is steered by voices. Leave out one of them")
    if options.target and scene.clip.video is None:
        raise UsageError(f"--target finds faces, and {scene.clip.path} has no pictures. Ask for a voice with --enroll")
    if options.target:
        from avsep.faces.picture import portrait_in

        face_embedder("--target", scene.models.device)
        scene.portraits = {name: portrait_in(file, scene.models.device) for name, file in options.target.items()}
    if options.enroll:
        with scene.watch.step("enrolments"):
            scene.enrolments = read_enrolments(scene, options.enroll)


def choose_targets(scene: Scene, tracks: Tracks) -> Tracks:
    """The tracks of those who are asked for, with their names as labels, in the order in which they were asked for.

    All are assigned together: nobody has two tracks, and no track is two persons'. Who is not alike enough to any track
    is not given one, and a warning says so.
    """
    targets, warnings = _targets_in(scene, tracks)
    found = [target for target in targets if target.found is not None]
    if not found:
        warnings.append("there is no track: all of the sound is in the residual")
    numbers = [target.found for target in found if target.found is not None]
    chosen = [n in numbers for n in range(len(tracks.tracks))]
    owners = {target.found: target.label for target in found if target.found is not None}
    option = " and ".join(name for name in ("enroll", "target") if getattr(scene.options, name))
    return replace(
        tracks,
        gains=tracks.gains[numbers],
        tracks=[_named(n, target, tracks, owners) for n, target in enumerate(found)],
        warnings=warnings,
        choice=Choice(option, tracks.tracks, chosen, targets=targets),
    )


def name_targets(scene: Scene, tracks: Tracks) -> Tracks:
    """All of the tracks, those of who is asked for with their names as labels. Found as in `choose_targets`."""
    targets, warnings = _targets_in(scene, tracks)
    names = {target.found: target.label for target in targets}
    named = [replace(track, label=names.get(n, track.label)) for n, track in enumerate(tracks.tracks)]
    return replace(tracks, tracks=named, warnings=warnings)


def _targets_in(scene: Scene, tracks: Tracks) -> tuple[list[Target], list[str]]:
    """Who is asked for, each with the track that is his, and the tracks' warnings with those of who has none."""
    targets = _assigned([*_by_voice(scene, tracks), *_by_face(scene, tracks)])
    return targets, [*tracks.warnings, *(_absent(one, tracks, targets) for one in targets if one.found is None)]


def _by_voice(scene: Scene, tracks: Tracks) -> list[Target]:
    if not scene.enrolments:
        return []
    voices, _ = voices_of(scene, tracks)
    made = []
    for number, one in enumerate(scene.enrolments):
        values = alike(voices, one.embedding)
        if tracks.mode == MODE:
            # What was steered by one enrolment is nobody else's.
            values = np.where(np.arange(len(values)) == number, values, np.nan)
        made.append(Target(one.label, "voice", one.file, _values(values), SAME_VOICE))
    return made


def _by_face(scene: Scene, tracks: Tracks) -> list[Target]:
    if not scene.portraits:
        return []
    with scene.watch.step("identify"):
        embedder = face_embedder("--target", scene.models.device)
        shown = [face_of(track, embedder) for track in tracks.tracks]
    made = []
    for name, portrait in scene.portraits.items():
        wanted = embedder(portrait[None])[0]
        values = np.array([np.nan if face is None else float(face @ wanted) for face in shown])
        made.append(Target(name, "face", str(scene.options.target[name]), _values(values), embedder.same_person))
    return made


def _values(found: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in found]


def _assigned(targets: Sequence[Target]) -> list[Target]:
    """Each with the track that is found to be his: similarities above what is needed count, those of voices and of
    faces by the part of the way to 1."""
    similarity = np.array([target.similarity for target in targets], float)
    least = np.array([target.least for target in targets])[:, None]
    worth = np.nan_to_num((similarity - least) / (1 - least), nan=-1.0)
    rows, columns = linear_sum_assignment(-worth.clip(min=0))
    whose = {int(row): int(column) for row, column in zip(rows, columns, strict=True) if worth[row, column] >= 0}
    return [replace(target, found=whose.get(row)) for row, target in enumerate(targets)]


def _named(number: int, target: Target, tracks: Tracks, owners: Mapping[int, str]) -> Track:
    """The track of a target, as it is written. owners: the labels of tracks that are given."""
    assert target.found is not None
    own = target.similarity[target.found]
    assert own is not None
    others = [(value, n) for n, value in enumerate(target.similarity) if value is not None and n != target.found]
    warnings = []
    if others and max(others)[0] > own - NEARLY:
        value, second = max(others)
        warnings.append(
            f"{target.label} may be another one: {_whose(second, tracks, owners)} is alike to {target.file} by "
            f"{value:.2f}, this one by {own:.2f}"
        )
    track = tracks.tracks[target.found]
    return replace(track, name=f"speaker_{number:02d}", label=target.label, warnings=(*track.warnings, *warnings))


def _absent(target: Target, tracks: Tracks, targets: Sequence[Target]) -> str:
    """Why somebody has no track."""
    values = [(value, n) for n, value in enumerate(target.similarity) if value is not None]
    who = f"{target.label} is not found: "
    if not values:
        none = "no face is to be seen" if target.by == "face" else "nobody speaks long enough"
        return f"{who}{none} in the clip"
    best, number = max(values)
    if best < target.least:
        return (
            f"{who}no {target.by} in the clip is alike to that in {target.file} (at most {best:.2f}, expected "
            f"{target.least:.2f} or more)"
        )
    owner = next((one.label for one in targets if one.found == number), "another")
    return f"{who}what is alike to {target.file} ({best:.2f}) is the track of {owner}"


def _whose(number: int, tracks: Tracks, owners: Mapping[int, str]) -> str:
    """A track that was found, in words: its id is not that of any file."""
    if number in owners:
        return f"the track of {owners[number]}"
    return f"a track that is not given, {tracks.tracks[number].name} without the option,"
