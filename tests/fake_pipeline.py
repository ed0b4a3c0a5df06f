"""A stand-in for the separation itself, so that the command line is tested in milliseconds."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avsep.pipeline import Options


def fake_pipeline(on_separate: Callable[[Path], None] = lambda clip: None, mode: str = "audio-visual") -> Any:
    """A module like avsep.pipeline; `calls` on it records what was asked for."""
    module = types.ModuleType("avsep.pipeline")
    calls: list[Any] = []

    class Separator:
        def __init__(self, model=None, *, device="auto", threads=None) -> None:
            calls.append(("Separator", model, device, threads))

        def separate(self, path, output, options=None, progress=None) -> dict:
            calls.append((Path(path), Path(output), options))
            progress("faces", 1.0, 2.0)
            on_separate(Path(path))
            progress("separation", 2.0, 2.0)
            return _write(Path(output) / Path(path).stem, "manifest.json", manifest(path, mode))

        def faces(self, path, output, options=None, progress=None) -> dict:
            calls.append((Path(path), output, options))
            people = [{"id": "speaker_00", "box": [10, 20, 30, 40], "appearances": SPAN, "thumbnail": "speaker_00.jpg"}]
            return _write(Path(output) / Path(path).stem, "people.json", {"people": people, "warnings": []})

    module.__dict__.update(
        Separator=Separator, Options=Options, default_models=lambda voices: ["small-av"], calls=calls
    )
    return module


SPAN = [{"start_seconds": 0.0, "end_seconds": 2.0}]


def manifest(path: Path | str, mode: str) -> dict[str, Any]:
    seen = mode == "audio-visual"
    speaker = {
        "id": "speaker_00",
        "audio": "speaker_00.wav",
        "video": "speaker_00.mp4" if seen else None,
        "thumbnail": "speaker_00.jpg" if seen else None,
        "box": [10, 20, 30, 40] if seen else None,
        "appearances": SPAN if seen else None,
        "speaking": [{"start_seconds": 0.4, "end_seconds": 1.5}],
        "confidence": 0.93,
        "warnings": ["the face is small"],
    }
    video = {"width": 64, "height": 48, "fps": 25.0}
    return {
        "format": 1,
        "input": {"path": str(path), "duration_seconds": 2.0, "video": video if seen else None},
        "mode": mode,
        "speakers": [speaker],
        "residual": "residual.wav",
        "warnings": [],
        "timing": {"total_seconds": 1.0, "real_time_factor": 0.5, "steps": {"faces": 0.6}},
    }


def _write(folder: Path, name: str, document: dict) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return document
