"""Pictures of a clip encoded anew as H.264, each person marked in their own or nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avsep.media.mp4 import Mp4, PersonVideo
from avsep.media.pictures import CLOCK, pictures, shown_pictures
from avsep.media.probe import ClipInfo, VideoInfo
from avsep.media.video import grid_at_or_after, to_yuv420p
from avsep.signals import Person

_MARK_YUV = (210, 16, 146)
"""Bright yellow of the box around the person."""

_COLOUR_TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")
"""What the planes' numbers mean; passed on so that the colours stay the same."""

_CRF = "23"
_PRESET = "superfast"


def encode_pictures(
    clip: ClipInfo,
    jobs: Sequence[PersonVideo],
    mark: bool,
    warn: Callable[[str], None],
    progress: Callable[[float], None],
) -> bool:
    """Write an mp4 for each job, decoding the clip once, and encoding once where nobody is marked.

    progress is called with the time of each picture. Returns whether there was a picture, and so any file.
    """
    assert clip.video is not None
    convert = _Planes(clip.video)
    streams: list[_Stream] = []
    with ExitStack() as files:
        for seconds, frame in shown_pictures(clip, pictures(clip, warn)):
            planes = convert(frame)
            if not streams:
                begin = min(seconds, 0.0)
                groups = [[job] for job in jobs] if mark else [jobs]
                streams += [_Stream(clip.video, group, planes, convert.colours, begin, files) for group in groups]
                # A player shows nothing before the first picture; starting with it keeps both streams at 0.
                seconds = begin
            for stream in streams:
                stream.add(seconds, planes, mark)
            progress(seconds)
        for stream in streams:
            stream.finish()
    return bool(streams)


class _Planes:
    """Turns decoded frames into upright Y, U, V planes of even size."""

    def __init__(self, video: VideoInfo) -> None:
        self.turns = video.rotation // 90
        width, height = video.width, video.height
        self.stored = (height, width) if self.turns % 2 else (width, height)
        self.colours: dict[str, int] = {}
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> list[np.ndarray]:
        plain = to_yuv420p(self._reformatter, frame, *self.stored)
        self.colours = {name: getattr(plain, name) for name in _COLOUR_TAGS}
        planes = [np.rot90(_pixels(plane), self.turns) for plane in plain.planes]
        height, width = (side // 2 for side in planes[0].shape)
        return [planes[0][: height * 2, : width * 2], planes[1][:height, :width], planes[2][:height, :width]]


class _Stream:
    """Pictures encoded by the first of some files, and in all of them."""

    def __init__(
        self,
        video: VideoInfo,
        jobs: Sequence[PersonVideo],
        planes: list[np.ndarray],
        colours: dict[str, int],
        begin: float,
        files: ExitStack,
    ) -> None:
        def encoder(container: Any) -> Any:
            stream = container.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(1001))
            stream.height, stream.width = planes[0].shape
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, CLOCK)
            stream.codec_context.sample_aspect_ratio = video.pixel_aspect
            for name, value in colours.items():
                setattr(stream.codec_context, name, value)
            stream.options = {"crf": _CRF, "preset": _PRESET}
            return stream

        self._person, self._begin, self._lasting = jobs[0].person, begin, round(CLOCK / video.fps)
        self._first = files.enter_context(Mp4(jobs[0], -begin, encoder))
        copies = [
            files.enter_context(Mp4(job, -begin, lambda c: c.add_stream_from_template(self._first.pictures)))
            for job in jobs[1:]
        ]
        self._all = [self._first, *copies]

    def add(self, seconds: float, planes: list[np.ndarray], mark: bool) -> None:
        """Append the picture shown from `seconds` (clip's clock) on."""
        picture = _frame(planes)
        picture.pts, picture.time_base = round((seconds - self._begin) * CLOCK), Fraction(1, CLOCK)
        box = _box_at(self._person, seconds) if mark else None
        if box is not None:
            _mark(picture, box)
        self._write(picture)

    def finish(self) -> None:
        self._write(None)

    def _write(self, picture: Any) -> None:
        for packet in self._first.encode(picture):
            packet.duration = packet.duration or self._lasting  # without it players leave the last picture out
            for file in self._all:
                file.add(packet)


def _frame(planes: list[np.ndarray]) -> Any:
    """A fresh yuv420p picture with a copy of the planes."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane, pixels in zip(picture.planes, planes, strict=True):
        _pixels(plane)[:] = pixels
    return picture


def _pixels(plane: Any) -> np.ndarray:
    """A plane of a picture as a writable array (height, width)."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _box_at(person: Person | None, seconds: float) -> np.ndarray | None:
    """The person's face box at a moment (x1, y1, x2, y2 in pixels), None while not on screen."""
    grid = grid_at_or_after(seconds)  # the first instant at which the picture is seen
    for track in person.tracks if person else ():
        row = grid - track.first
        if 0 <= row <= len(track):  # one beyond: the last picture may fall between the last instants
            return track.boxes[min(row, len(track) - 1)]
    return None


def _mark(picture: Any, box: np.ndarray) -> None:
    """Draw a thin rectangle into the planes of a yuv420p picture; everything on even pixels, as its colour is."""
    width, height = picture.width, picture.height
    thick = max(2, 2 * round(min(width, height) / 360))
    x1, y1, x2, y2 = (2 * round(float(v) / 2) for v in box)
    x1, x2 = sorted((min(max(x1, 0), width - thick), min(max(x2, 0), width)))
    y1, y2 = sorted((min(max(y1, 0), height - thick), min(max(y2, 0), height)))
    if x2 - x1 < 2 * thick or y2 - y1 < 2 * thick:
        return
    for plane, value in zip(picture.planes, _MARK_YUV, strict=True):
        pixels = _pixels(plane)
        share = 1 if pixels.shape[0] == height else 2
        left, top, right, bottom, line = (v // share for v in (x1, y1, x2, y2, thick))
        pixels[top : top + line, left:right] = value
        pixels[bottom - line : bottom, left:right] = value
        pixels[top:bottom, left : left + line] = value
        pixels[top:bottom, right - line : right] = value
