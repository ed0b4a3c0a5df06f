"""All files of a result: tracks, residual, videos, thumbnails, manifest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.media.decode import picture_at
from avsep.media.encode import PersonVideo, write_jpeg, write_person_videos
from avsep.output import manifest
from avsep.output.faces import FACES, face_rows, write_faces
from avsep.output.tracks import TrackReader, write_tracks
from avsep.results.result import MANIFEST, parse_result
from avsep.signals import FRAME_RATE, Person, Tracks
from avsep.timeline.write import write_formats

if TYPE_CHECKING:
    from avsep.media.probe import ClipInfo
    from avsep.modes.base import Scene


def write_result(scene: Scene, tracks: Tracks) -> dict[str, Any]:
    """Write what a mode found into the scene's folder and return the manifest."""
    folder = scene.folder
    assert folder is not None
    wavs = [folder / f"{track.name}.wav" for track in tracks.tracks]
    with scene.watch.step("writing"):
        same = write_tracks(
            scene.written(),
            TrackReader(tracks.sources, tracks.gains),
            wavs,
            folder / "residual.wav",
            tracks.sources.seconds,
            scene.progress,
        )
        for track in tracks.tracks:
            if track.person is not None:
                write_thumbnail(scene.clip, track.person, folder / f"{track.name}.jpg")
    jobs = [
        PersonVideo(wav.with_suffix(".mp4"), track.person, wav)
        for wav, track in zip(wavs, tracks.tracks, strict=True)
        if track.person is not None
    ]
    with_video = bool(jobs) and scene.options.video
    warnings = scene.warnings + tracks.warnings
    if with_video:
        with scene.watch.step("video"):
            write_person_videos(
                scene.clip,
                jobs,
                warnings.append,
                scene.progress,
                mark=scene.options.mark,
                log=scene.picture_log,
            )
    names = [track.name for track in tracks.tracks]
    warnings += [f"{names[a]} and {names[b]} are nearly the same sound" for a, b in same]
    files = []
    people = {track.name: face_rows(track.person) for track in tracks.tracks if track.person is not None}
    if people:
        write_faces(folder / FACES, people)
        files.append(FACES)
    if scene.options.also:
        with scene.watch.step("formats"):
            found = parse_result(folder, manifest.separation(scene, tracks, with_video, warnings))
            files += write_formats(found, scene.options.also, warnings.append, scene.progress)
    result = manifest.separation(scene, tracks, with_video, warnings) | ({"files": files} if files else {})
    manifest.write(folder / MANIFEST, result)
    return result


def write_people(scene: Scene) -> dict[str, Any]:
    """What people.json says; that file and thumbnails where the scene has a folder."""
    folder = scene.folder
    found = manifest.people(scene, thumbnails=folder is not None)
    if folder is not None:
        for number, person in enumerate(scene.people):
            write_thumbnail(scene.clip, person, folder / f"speaker_{number:02d}.jpg")
        manifest.write(folder / "people.json", found)
    return found


def write_thumbnail(clip: ClipInfo, person: Person, file: Path) -> None:
    """The person's face where it shows best, with some of what is around it."""
    track = max(person.tracks, key=len)
    picture = picture_at(clip, track.best / FRAME_RATE)
    x1, y1, x2, y2 = track.boxes[track.best - track.first]
    side = 0.75 * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    height, width = picture.shape[:2]
    top, bottom = max(0, math.floor(y - side)), min(height, math.ceil(y + side))
    left, right = max(0, math.floor(x - side)), min(width, math.ceil(x + side))
    write_jpeg(file, picture[top:bottom, left:right])
