"""manifest.json: what was found and written, for people and for programs. Fields are added, never renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.results.result import VOICE_KINDS
from avsep.signals import Candidate, Choice, Identity, Target, Track, Tracks
from avsep.speech.activity import spans
from avsep.version import __version__

if TYPE_CHECKING:
    from avsep.media.probe import ClipInfo
    from avsep.modes.base import Options, Scene

FORMAT = 1
DOUBTFUL = 0.5
"""Confidence below which a track carries a warning that face and voice may not belong together."""


def people(scene: Scene, *, thumbnails: bool) -> dict[str, Any]:
    """people.json of `avsep faces`. thumbnails: whether there is one for each person."""
    return {
        "format": FORMAT,
        "avsep_version": __version__,
        "input": describe_input(scene.clip, scene.sha256, scene.clip.duration_seconds),
        "people": [
            {
                "id": f"speaker_{i:02d}",
                "thumbnail": f"speaker_{i:02d}.jpg" if thumbnails else None,
                "box": person.box,
                "appearances": times(person.appearances),
                "warnings": list(person.warnings),
            }
            for i, person in enumerate(scene.people)
        ],
        "warnings": list(dict.fromkeys(scene.warnings)),
    }


def separation(scene: Scene, tracks: Tracks, video: bool, warnings: Sequence[str]) -> dict[str, Any]:
    """manifest.json of `avsep separate`. video: whether there is one for each person."""
    seconds = tracks.sources.seconds
    chosen = {} if tracks.choice is None else {"chosen": True}
    entries = [entry(track, video, seconds) | chosen for track in tracks.tracks]
    return {
        "format": FORMAT,
        "avsep_version": __version__,
        "input": describe_input(scene.clip, scene.sha256, seconds),
        "mode": tracks.mode,
        "model": tracks.model,
        "options": options(scene.options, scene.model),
        "checksums": dict(scene.checksums),
        "tracks": entries,
        "speakers": [e for e in entries if e["kind"] in VOICE_KINDS],
        "residual": "residual.wav",
        **({} if tracks.choice is None else {"choice": choice(tracks.choice)}),
        "warnings": list(dict.fromkeys(warnings)),
        "timing": timing(scene, seconds),
    }


def timing(scene: Scene, seconds: float) -> dict[str, Any]:
    """How long the run has taken until now. seconds: of the sound."""
    taken = scene.seconds_taken
    return {
        "total_seconds": round(taken, 3),
        "real_time_factor": round(taken / seconds, 3) if seconds else None,
        "steps": {name: round(value, 3) for name, value in scene.watch.seconds.items()},
    }


def entry(track: Track, video: bool, seconds: float) -> dict[str, Any]:
    """One entry of the manifest's tracks."""
    person, name, confidence = track.person, track.name, track.confidence
    warnings = [*(person.warnings if person else ()), *track.warnings]
    found: dict[str, Any] = {
        "id": name,
        "kind": track.kind,
        "label": track.label,
        "audio": f"{name}.wav",
        "video": f"{name}.mp4" if person and video else None,
        "thumbnail": f"{name}.jpg" if person else None,
        "box": person.box if person else None,
        "appearances": times(person.appearances) if person else None,
    }
    if track.speech is not None:
        speaking = [(a, min(b, seconds)) for a, b in spans(track.speech)]
        if speaking and confidence is not None and confidence < DOUBTFUL:
            warnings.append(f"face and voice match badly (confidence {confidence:.2f}): the voice may be another's")
        found["speaking"] = times(speaking)
        found["speech_probability"] = round(float(track.speech.max(initial=0.0)), 3)
    found["confidence"] = None if confidence is None else round(confidence, 3)
    if track.identity is not None:
        found["identity"] = identity(track.identity)
    if track.probabilities:
        found["probabilities"] = {label: round(p, 4) for label, p in track.probabilities.items()}
    if track.offset_seconds is not None:
        found["av_offset_seconds"] = round(track.offset_seconds, 3)
    return found | {"warnings": warnings}


def identity(told: Identity) -> dict[str, Any]:
    """Whom the people library takes a track for, and by what."""
    found: dict[str, Any] = {"name": None, "probability": round(told.stranger, 4), "by": [], "similarity": {}}
    if told.found is not None:
        found = candidate(told.found) | {"by": sorted(told.found.similarity)}
    return found | {"learnt": told.learnt, "runner_up": None if told.nearest is None else candidate(told.nearest)}


def candidate(one: Candidate) -> dict[str, Any]:
    alike = {name: round(value, 3) for name, value in one.similarity.items()}
    return {"name": one.name, "probability": round(one.probability, 4), "similarity": alike}


def options(given: Options, model: str | None) -> dict[str, Any]:
    """The options of the run and the model that was asked for, as JSON reads them back."""
    return {"model": model} | {name: _plain(value) for name, value in asdict(given).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: str(file) for key, file in value.items()}
    return list(value) if isinstance(value, tuple) else value


def choice(made: Choice) -> dict[str, Any]:
    """What was found before one track was chosen, and which of it was."""
    found: list[dict[str, Any]] = [
        {"id": track.name, "kind": track.kind, "label": track.label, "chosen": one}
        for track, one in zip(made.found, made.chosen, strict=True)
    ]
    for one, alike in zip(found, made.likeness or (), strict=False):
        one["likeness"] = round(alike, 4)
    if not made.targets:
        return {"option": made.option, "found": found}
    written = iter(range(len(found)))
    targets = [
        target(one, made.found, None if one.found is None else f"speaker_{next(written):02d}") for one in made.targets
    ]
    return {"option": made.option, "found": found, "targets": targets}


def target(asked: Target, found: Sequence[Track], track: str | None) -> dict[str, Any]:
    """Somebody who was asked for. track: id of the track that is written of him."""
    alike = {one.name: value for one, value in zip(found, asked.similarity, strict=True) if value is not None}
    chosen = None if asked.found is None else found[asked.found].name
    best = chosen or max(alike, key=lambda name: alike[name], default=None)
    others = {name: value for name, value in alike.items() if name != best}
    second = max(others, key=lambda name: others[name], default=None)
    return {
        "label": asked.label,
        "by": asked.by,
        "file": asked.file,
        "track": track,
        "found": chosen,
        "similarity": None if best is None else round(alike[best], 3),
        "least_similarity": asked.least,
        "runner_up": None if second is None else {"id": second, "similarity": round(others[second], 3)},
    }


def describe_input(clip: ClipInfo, sha256: str | None, seconds: float) -> dict[str, Any]:
    """The input as found: path, checksum, size and time of change, length of the sound, streams."""
    video, state = clip.video, clip.file_state
    return {
        "path": str(clip.path),
        "sha256": sha256,
        "size_bytes": state and state.size,
        "modified_ns": state and state.modified_ns,
        "start_seconds": clip.start_seconds,
        "duration_seconds": round(seconds, 3),
        "audio": {"sample_rate": clip.audio.sample_rate, "channels": clip.audio.channels, "stream": clip.audio.stream},
        "video": {
            "width": video.width,
            "height": video.height,
            "fps": round(video.fps, 3),
            "start_seconds": round(video.start_seconds, 3),
        }
        if video
        else None,
    }


def times(pairs: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    return [{"start_seconds": round(float(a), 3), "end_seconds": round(float(b), 3)} for a, b in pairs]


def write(path: Path, content: dict[str, Any]) -> None:
    # What a file name may hold beyond Unicode is written as an escape that JSON knows.
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
