"""OpenTimelineIO, which editors of pictures exchange: the picture, and a track for each person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from avsep.storage.files import path_from
from avsep.timeline.base import DOUBT_COLOUR, Lane, TimeLine, in_one_line

if TYPE_CHECKING:
    from avsep.timeline.picture import Picture


_ROUNDED = 0.005
"""By which a rate of pictures may differ from one that editors know, such as 30000/1001, and mean it."""


def write_otio(line: TimeLine, path: Path) -> None:
    """One clip as long as the sound in a track for each lane, with a marker for each stretch of speech: who edits cuts
    for himself, and what is cut away here could not be pulled out again. Spans not to be trusted have markers, too.

    All times have the rate of the picture, or of the sound where there is none; they need not be whole.
    """
    import opentimelineio

    writer = _Writer(opentimelineio, line)
    timeline = opentimelineio.schema.Timeline(line.title, global_start_time=writer.time(0))
    if line.picture is not None:
        timeline.tracks.append(writer.picture_track(line.picture))
    timeline.tracks.extend([writer.sound_track(lane, line.seconds) for lane in line.lanes])
    path.write_text(timeline.to_json_string(indent=2) + "\n", encoding="utf-8")


class _Writer:
    """Makes the tracks. otio: the library, which is an extra."""

    def __init__(self, otio: Any, line: TimeLine) -> None:
        self._schema, self._time = otio.schema, otio.opentime
        self._folder, self._rate = line.result.folder, float(line.result.sample_rate)
        if line.picture is not None:
            fps = line.picture.fps
            known = self._time.RationalTime.nearest_smpte_timecode_rate(fps)
            self._rate = known if abs(known - fps) < _ROUNDED else fps

    def time(self, seconds: float) -> Any:
        # Rounding leaves no traces of binary fractions; it is far below a sample.
        return self._time.RationalTime(round(seconds * self._rate, 6), self._rate)

    def range(self, start: float, end: float) -> Any:
        return self._time.TimeRange(self.time(start), self.time(end - start))

    def sound_track(self, lane: Lane, seconds: float) -> Any:
        clip = self._clip(lane.name, lane.audio, self.range(0, seconds), self.range(0, seconds))
        clip.markers.extend(
            self._schema.Marker(lane.name, self.range(*span), lane.colour.name) for span in lane.speaking or ()
        )
        clip.markers.extend(
            self._schema.Marker(
                f"{lane.name}? {in_one_line(one.reason)}", self.range(one.start, one.end), DOUBT_COLOUR.name
            )
            for one in lane.doubtful
        )
        about = {"avsep": {"id": lane.id, "kind": lane.kind}}
        return self._schema.Track(lane.name, [clip], kind=self._schema.TrackKind.Audio, metadata=about)

    def picture_track(self, picture: Picture) -> Any:
        """The picture from time 0 on. What comes before the sound is left in the file, where it can be pulled out."""
        begin = max(0.0, picture.start_seconds)
        zero = picture.zero_seconds
        there = self.range(zero + picture.start_seconds, zero + picture.end_seconds)
        shown = self.range(zero + begin, zero + picture.end_seconds)
        track = self._schema.Track("picture", kind=self._schema.TrackKind.Video)
        if begin:
            track.append(self._schema.Gap(source_range=self.range(0, begin)))
        track.append(self._clip("picture", picture.file, there, shown))
        return track

    def _clip(self, name: str, file: Path, there: Any, shown: Any) -> Any:
        # Relative, so that the folder can be moved; a URL, so that any name can be told.
        url = quote(os.fsencode(path_from(self._folder, file)))
        return self._schema.Clip(name, self._schema.ExternalReference(url, there), shown)
