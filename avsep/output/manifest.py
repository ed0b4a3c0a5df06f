"""manifest.json: what was found and written, for people and for programs. Fields are added, never renamed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsep import __version__
from avsep.checkpoint import Card
from avsep.signals import Person
from avsep.speech.activity import spans

FORMAT = 1
DOUBTFUL = 0.5
"""Confidence below which a track carries a warning that face and voice may not belong together."""


def people(clip: Any, found: Sequence[Person], warnings: Sequence[str], thumbnails: bool) -> dict[str, Any]:
    """people.json of `avsep faces`."""
    return {
        "format": FORMAT,
        "avsep_version": __version__,
        "input": describe_input(clip, clip.duration_seconds),
        "people": [
            {
                "id": f"speaker_{i:02d}",
                "thumbnail": f"speaker_{i:02d}.jpg" if thumbnails else None,
                "box": person.box,
                "appearances": times(person.appearances),
                "warnings": list(person.warnings),
            }
            for i, person in enumerate(found)
        ],
        "warnings": list(dict.fromkeys(warnings)),
    }


def separation(
    *,
    clip: Any,
    card: Card,
    options: dict[str, Any],
    people: Sequence[Person],
    voices: Any,
    video: bool,
    warnings: Sequence[str],
    seconds: float,
    steps: dict[str, float],
    total: float,
) -> dict[str, Any]:
    """manifest.json of `avsep separate`; voices as in pipeline.Voices, seconds of sound, steps and total in seconds
    of time."""
    return {
        "format": FORMAT,
        "avsep_version": __version__,
        "input": describe_input(clip, seconds),
        "mode": "audio-visual" if people else "audio-only",
        "model": card.name,
        "options": options,
        "speakers": [
            speaker(i, people[i] if i < len(people) else None, voices, video, seconds) for i in range(len(voices.gains))
        ],
        "residual": "residual.wav",
        "warnings": list(dict.fromkeys(warnings)),
        "timing": {
            "total_seconds": round(total, 3),
            "real_time_factor": round(total / seconds, 3) if seconds else None,
            "steps": {name: round(value, 3) for name, value in steps.items()},
        },
    }


def speaker(number: int, person: Person | None, voices: Any, video: bool, seconds: float) -> dict[str, Any]:
    """One entry of the manifest's speakers."""
    name = f"speaker_{number:02d}"
    speech = voices.speech[number]
    speaking = [(a, min(b, seconds)) for a, b in spans(speech)]
    confidence = voices.confidence[number]
    warnings = list(person.warnings) if person else []
    if speaking and confidence < DOUBTFUL:
        warnings.append(f"face and voice match badly (confidence {confidence:.2f}): the voice may be another's")
    entry: dict[str, Any] = {
        "id": name,
        "audio": f"{name}.wav",
        "video": f"{name}.mp4" if person and video else None,
        "thumbnail": f"{name}.jpg" if person else None,
        "box": person.box if person else None,
        "appearances": times(person.appearances) if person else None,
        "speaking": times(speaking),
        "speech_probability": round(float(speech.max()), 3) if len(speech) else 0.0,
        "confidence": None if np.isnan(confidence) else round(float(confidence), 3),
        "warnings": warnings,
    }
    if person and voices.offsets is not None:
        entry["av_offset_seconds"] = round(float(voices.offsets[number]), 3)
    return entry


def describe_input(clip: Any, seconds: float) -> dict[str, Any]:
    """The input as found: path, checksum, length of the sound, streams."""
    video = clip.video
    return {
        "path": str(clip.path),
        "sha256": sha256(clip.path),
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


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: dict[str, Any]) -> None:
    # What a file name may hold beyond Unicode is written as an escape that JSON knows.
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
