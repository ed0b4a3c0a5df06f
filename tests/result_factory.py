"""Result folders as `avsep separate` leaves them, without the separation: clicks for voices, pictures with numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from media_factory import tone, write_media
from person_videos import NOBODY

from avsep import __version__
from avsep.media.encode import PersonVideo, WavWriter, write_person_videos
from avsep.media.probe import probe
from avsep.results.result import read_result
from avsep.signals import no_progress
from avsep.timeline.base import TimeLine

SECONDS = 2.0

Spans = Sequence[tuple[float, float]]

CLICKS = (0.5, 1.1)
"""Seconds at which the first, the second, ... track has a click."""


def times(spans: Spans) -> list[dict[str, float]]:
    return [{"start_seconds": start, "end_seconds": end} for start, end in spans]


def person(number: int, label: str | None = None, speaking: Spans = ((0.2, 1.5),), kind: str = "person") -> dict:
    """An entry of the manifest's tracks."""
    name = f"speaker_{number:02d}"
    more = {"video": f"{name}.mp4"} if kind == "person" else {}
    return {"id": name, "kind": kind, "label": label, "audio": f"{name}.wav", "speaking": times(speaking), **more}


def sound(number: int, label: str, kind: str = "sound") -> dict:
    return {"id": f"source_{number:02d}", "kind": kind, "label": label, "audio": f"source_{number:02d}.wav"}


def write_result(
    folder: Path,
    tracks: Sequence[dict],
    *,
    name: str = "talk",
    rate: int = 16_000,
    channels: int = 1,
    level: float = 0.8,
) -> Path:
    """A result of a sound file; returns its folder. Track i has a click of this level at CLICKS[i]."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, track in enumerate(tracks):
        samples = np.zeros((channels, round(SECONDS * rate)), np.float32)
        at = round(CLICKS[number % len(CLICKS)] * rate)
        samples[:, at : at + rate // 100] = level / 0.5 * tone(0.01, rate, frequency=2000)
        write_wav(folder / track["audio"], samples, rate)
    write_wav(folder / "residual.wav", 0.01 * np.ones((channels, round(SECONDS * rate)), np.float32), rate)
    audio = {"sample_rate": rate, "channels": channels, "stream": 0}
    told = {"path": f"{name}.wav", "start_seconds": 0.0, "duration_seconds": SECONDS, "audio": audio, "video": None}
    write_manifest(
        folder,
        {
            "format": 1,
            "avsep_version": __version__,
            "input": told,
            "tracks": list(tracks),
            "speakers": [track for track in tracks if track["kind"] in ("person", "voice")],
            "residual": "residual.wav",
            "warnings": [],
        },
    )
    return folder


def write_video_result(
    folder: Path,
    tracks: Sequence[dict],
    *,
    videos: bool = True,
    start: float | None = None,
    options: Mapping[str, Any] | None = None,
    **media: Any,
) -> Path:
    """A result of folder/../talk.mkv, which is made by `write_media` with these settings and named as seen from
    there. videos: whether people have theirs. start: of the span, as with --start."""
    clip_file = folder.parent / "talk.mkv"
    folder.mkdir(parents=True)
    settings = {"times": np.arange(60) / 25, "sound": tone(SECONDS + (start or 0)), "sound_codec": "pcm_s16le", **media}
    clip = probe(write_media(clip_file, **settings), start=start)
    assert clip.video is not None
    tracks = [{**track, "video": track.get("video") if videos else None} for track in tracks]
    write_result(folder, tracks)
    jobs = [
        PersonVideo(folder / track["video"], NOBODY, folder / track["audio"]) for track in tracks if track.get("video")
    ]
    write_person_videos(clip, jobs, print)
    manifest = read_manifest(folder)
    manifest["input"] |= {
        "path": clip_file.name,
        "sha256": hashlib.sha256(clip_file.read_bytes()).hexdigest(),
        "start_seconds": clip.start_seconds,
        "video": {"fps": clip.video.fps, "start_seconds": round(clip.video.start_seconds, 3)},
    }
    write_manifest(folder, manifest | {"options": {"start": start, "end": None, **(options or {})}})
    return folder


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    with WavWriter(path, rate, len(samples)) as file:
        file.write(samples)


def read_manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def time_line(folder: Path, warnings: list[str] | None = None) -> TimeLine:
    """Of a result, whose warnings fail unless a list for them is given."""

    def warn(text: str) -> None:
        assert warnings is not None, text
        warnings.append(text)

    return TimeLine(read_result(folder), warn, no_progress)
