"""Folders as `avsep separate` leaves them, from samples, without the separation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from avsep import __version__

Spans = Sequence[tuple[float, float]]


def write_result(
    folder: Path,
    tracks: np.ndarray,
    speaking: Sequence[Spans],
    rate: int = 16_000,
    kinds: Sequence[str] | None = None,
    **more: Any,
) -> Path:
    """A result whose tracks are (tracks, time) or (tracks, channels, time). speaking: of each, in seconds. kinds:
    "voice" for all by default. more: of the manifest."""
    tracks = tracks[:, None] if tracks.ndim == 2 else tracks
    kinds = kinds or ["voice"] * len(tracks)
    folder.mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    for number, (samples, spans, kind) in enumerate(zip(tracks, speaking, kinds, strict=True)):
        name = f"{'speaker' if kind in ('voice', 'person') else 'source'}_{number:02d}"
        soundfile.write(folder / f"{name}.wav", samples.T, rate, subtype="FLOAT")
        entries.append({"id": name, "kind": kind, "label": None, "audio": f"{name}.wav", "warnings": []})
        if kind in ("voice", "person"):
            entries[-1]["speaking"] = [{"start_seconds": a, "end_seconds": b} for a, b in spans]
    seconds, channels = tracks.shape[2] / rate, tracks.shape[1]
    content = {
        "format": 1,
        "avsep_version": __version__,
        "input": {
            "path": f"{folder.name}.wav",
            "duration_seconds": round(seconds, 3),
            "audio": {"sample_rate": rate, "channels": channels},
        },
        "tracks": entries,
        "speakers": [entry for entry in entries if entry["kind"] in ("voice", "person")],
        "residual": None,
        "warnings": [],
    }
    (folder / "manifest.json").write_text(json.dumps(content | more))
    return folder
