"""What the browser is told of a result."""

from __future__ import annotations

import os
from typing import Any

from avsep.page import audio, formats
from avsep.page.catalog import Catalog, Found, picture_of
from avsep.results.edit import seen_together
from avsep.results.result import Result, ResultTrack, Span


def summary(found: Found) -> dict[str, Any]:
    """A line of the list of results."""
    result = found.result
    people = [track.name for track in result.tracks]
    faces = [track.id for track in result.tracks if track.thumbnail]
    return {"id": found.id, "version": found.version, "name": found.name, "seconds": result.seconds} | {
        "tracks": people,
        "faces": faces,
    }


def describe(found: Found, catalog: Catalog) -> dict[str, Any]:
    """All of a result but its sound, picture and the boxes of its faces. Raises InputError and NotFound."""
    result, folder = found.result, found.result.folder
    channels, rate = audio.shape(found.sounds[0])
    size = result.picture_size
    picture = None
    if size and picture_of(result):
        picture = {"width": size[0], "height": size[1], "begin": result.picture_begin}
    return {
        "id": found.id,
        "version": found.version,
        "name": found.name,
        "seconds": result.seconds,
        "sound": {
            "rate": rate,
            "channels": channels,
            "chunk_seconds": audio.CHUNK_SECONDS,
            "tile_seconds": audio.TILE_SECONDS,
            "bins_per_second": audio.BINS_PER_SECOND,
        },
        "picture": picture,
        "tracks": [_track(track) | {"seen_with": _seen_with(track, result)} for track in result.tracks],
        "residual": result.residual is not None,
        "warnings": [str(text) for text in result.manifest.get("warnings") or ()],
        "files": [
            {"name": name.encode("utf-8", "replace").decode(), "bytes": os.lstat(folder / name).st_size}
            for name in catalog.files(found)
        ],
        "formats": formats.formats(),
        "outdated": formats.outdated(result),
    }


def _track(track: ResultTrack) -> dict[str, Any]:
    return {
        "id": track.id,
        "name": track.name,
        "label": track.label,
        "kind": track.kind,
        "is_voice": track.is_voice,
        "has_thumbnail": track.thumbnail is not None,
        "box": track.box,
        "appearances": _pairs(track.appearances),
        "speaking": None if track.speaking is None else _pairs(track.speaking),
        "confidence": track.entry.get("confidence"),
        "doubtful": [(doubt.start, doubt.end) for doubt in track.doubtful],
        "warnings": [
            *(str(text) for text in track.entry.get("warnings") or ()),
            *(f"{doubt.start:.1f} to {doubt.end:.1f} s {doubt.reason}" for doubt in track.doubtful),
        ],
        "files": [file.name for file in (track.audio, track.video, track.thumbnail) if file],
    }


def _seen_with(track: ResultTrack, result: Result) -> dict[str, float]:
    """When the track's face is first seen together with that of another one, by the other one's id."""
    found = {other.id: seen_together(track, other) for other in result.tracks if other is not track}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _pairs(spans: tuple[Span, ...]) -> list[tuple[float, float]]:
    return [(span.start, span.end) for span in spans]
