"""A stand-in for the separation itself, so that the command line is tested in milliseconds. Its manifests are made by
the code that makes the real ones."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsep.inference.models import ModelStore
from avsep.media.decode import probe
from avsep.media.unchanged import sha256
from avsep.modes.base import Options, Scene
from avsep.output import manifest
from avsep.signals import FRAME_RATE, SAMPLE_RATE, FaceTrack, LipClip, Person, Track, Tracks
from avsep.storage.recording import Estimates
from avsep.storage.spool import Spool

BOX = (10, 20, 30, 40)


def fake_pipeline(on_separate: Callable[[Path], None] = lambda clip: None, mode: str = "audio-visual") -> Any:
    """A module like avsep.pipeline; `calls` on it records what was asked for."""
    module = types.ModuleType("avsep.pipeline")
    calls: list[Any] = []

    class Separator:
        def __init__(self, model=None, *, device="auto", threads=None) -> None:
            calls.append(("Separator", model, device, threads))
            self.model = model

        def check(self, path, options=None) -> str:
            calls.append(("check", Path(path), options))
            return "small-av"

        def separate(self, path, output, options=None, progress=None) -> dict:
            calls.append((Path(path), Path(output), options))
            progress("faces", 1.0, 2.0)
            on_separate(Path(path))
            progress("separation", 2.0, 2.0)
            people = [person(BOX)] if mode == "audio-visual" else [None]
            found = separated(path, people, mode, options or Options(), self.model)
            return _write(Path(output) / Path(path).stem, "manifest.json", found)

        def faces(self, path, output, options=None, progress=None) -> dict:
            calls.append((Path(path), output, options))
            scene = Scene(probe(path), [person(BOX)], ModelStore())
            found = manifest.people(scene, thumbnails=True)
            return _write(Path(output) / Path(path).stem, "people.json", found)

    module.__dict__.update(
        Separator=Separator, Options=Options, default_models=lambda voices: ["small-av"], calls=calls
    )
    return module


def person(box: Sequence[float], seconds: float = 2.0) -> Person:
    """Somebody in the picture from 0 s on."""
    pictures = round(seconds * FRAME_RATE)
    lips = LipClip(Spool(None, (96, 96), np.uint8), np.ones(pictures, np.float32), 0)
    boxes = np.tile(np.array(box, np.float32), (pictures, 1))
    landmarks, sure = np.zeros((pictures, 5, 2), np.float32), np.ones(pictures, np.float32)
    track = FaceTrack(0, boxes, landmarks, sure, np.zeros((0, 160, 160, 3), np.uint8), 0, lips)
    return Person((track,), ("the face is small",))


def separated(
    path: Path | str,
    people: Sequence[Person | None],
    mode: str = "audio-visual",
    options: Options | None = None,
    model: str | None = None,
) -> dict[str, Any]:
    """The manifest of a clip with a track for each person, or voice (None), that speaks from 0.4 to 1.52 s."""
    clip = probe(path)
    time = round(clip.duration_seconds * SAMPLE_RATE)
    speech = np.zeros(-(-time * FRAME_RATE // SAMPLE_RATE), np.float32)
    speech[10:38] = 0.9
    tracks = [
        Track(f"speaker_{n:02d}", "person" if one else "voice", one, speech=speech, confidence=0.93 if one else None)
        for n, one in enumerate(people)
    ]
    sources = Estimates.of(np.zeros((max(1, len(people)), time), np.float32), SAMPLE_RATE)
    gains = np.zeros((len(people), sources.count, len(speech)), np.float32)
    found = [one for one in people if one]
    scene = Scene(clip, found, ModelStore(), options or Options(), model, sha256=sha256(clip.path))
    scene.watch.seconds["faces"] = 0.6
    return manifest.separation(scene, Tracks(mode, "small-av", sources, gains, tracks), True, [])


def _write(folder: Path, name: str, document: dict) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(folder / name, document)
    return document
