"""Results of `avsep separate` without the separation: people whose voices are tones of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from media_factory import tone, write_media

from avsep import __version__
from avsep.media.encode import WavWriter, write_jpeg
from avsep.output.faces import FACES, write_faces

SIZE = (160, 120)
RATE = 16_000
BLOCK_SECONDS = 60


def frequency(person: int) -> float:
    """Of a person's voice, in Hz."""
    return 300.0 * (person + 1)


def spans(person: int, people: int, seconds: float, turn: float | None) -> list[tuple[float, float]]:
    """When a person speaks: in turns of `turn` seconds, every second turn of each over the next one's; all the time
    where there are no turns."""
    if turn is None:
        return [(0.0, seconds)]
    starts = np.arange(person * turn, seconds, people * turn)
    return [(float(s), float(min(s + turn * (1 + n % 2 / 2), seconds))) for n, s in enumerate(starts)]


def box(person: int, people: int) -> list[int]:
    width = SIZE[0] // people
    return [width * person + 4, 30, width * (person + 1) - 4, 90]


def make_result(
    folder: Path,
    *,
    seconds: float = 4.0,
    people: int = 2,
    rate: int = RATE,
    turn: float | None = 1.0,
    video: bool = True,
) -> Path:
    """A result in `folder`: a person for each, on from left to right, noise as residual. Returns it."""
    folder.mkdir(parents=True)
    tracks = [_track(folder, n, people, seconds, turn, video) for n in range(people)]
    for n, track in enumerate(tracks):
        _write(folder / track["audio"], seconds, rate, n, spans(n, people, seconds, turn))
        write_jpeg(folder / track["thumbnail"], np.full((40, 40, 3), 60 + 40 * n, np.uint8))
    _write(folder / "residual.wav", seconds, rate, None, [])
    write_faces(folder / FACES, {track["id"]: [[0.0, *track["box"]], [seconds, *track["box"]]] for track in tracks})
    manifest = {
        "format": 1,
        "avsep_version": __version__,
        "input": {
            "path": f"{folder.name}.mp4",
            "sha256": None,
            "start_seconds": 0.0,
            "duration_seconds": seconds,
            "audio": {"sample_rate": rate, "channels": 1, "stream": 0},
            "video": {"width": SIZE[0], "height": SIZE[1], "fps": 25.0, "start_seconds": 0.0} if video else None,
        },
        "mode": "audio-visual",
        "model": "ensemble-2spk",
        "options": {},
        "tracks": tracks,
        "speakers": tracks,
        "residual": "residual.wav",
        "files": [FACES],
        "warnings": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _track(folder: Path, person: int, people: int, seconds: float, turn: float | None, video: bool) -> dict:
    name = f"speaker_{person:02d}"
    if video:
        rate = 25 if seconds < 60 else 5
        pictures = np.arange(round(seconds * rate)) / rate
        write_media(folder / f"{name}.mp4", sound=tone(seconds), times=pictures, size=SIZE)
    return {
        "id": name,
        "kind": "person",
        "label": None,
        "audio": f"{name}.wav",
        "video": f"{name}.mp4" if video else None,
        "thumbnail": f"{name}.jpg",
        "box": box(person, people),
        "appearances": [{"start_seconds": 0.0, "end_seconds": seconds}],
        "speaking": [
            {"start_seconds": start, "end_seconds": end} for start, end in spans(person, people, seconds, turn)
        ],
        "speech_probability": 1.0,
        "confidence": 0.9,
        "warnings": [],
    }


def _write(file: Path, seconds: float, rate: int, person: int | None, spoken: list[tuple[float, float]]) -> None:
    """A tone in the spans, or for nobody soft noise, a minute at a time."""
    noise = np.random.default_rng(0)
    with WavWriter(file, rate, 1) as writer:
        for start in range(0, round(seconds * rate), BLOCK_SECONDS * rate):
            time = np.arange(start, min(start + BLOCK_SECONDS * rate, round(seconds * rate))) / rate
            if person is None:
                samples = 0.003 * noise.standard_normal(len(time))
            else:
                on = np.zeros(len(time), bool)
                for begin, end in spoken:
                    on |= (time >= begin) & (time < end)
                samples = 0.3 * on * np.sin(2 * np.pi * frequency(person) * time)
            writer.write(samples[None].astype(np.float32))
