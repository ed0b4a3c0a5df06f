"""A clip's pictures: on the fixed grid for the lips, or one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from avsep.errors import InputError
from avsep.media.pictures import STALE_SECONDS, TOLERANCE_SECONDS, PictureLog, pictures
from avsep.media.probe import ClipInfo, quarter_turns
from avsep.signals import FRAME_RATE, VideoFrames

PREVIEW_SIZE = 640
"""Longest side of a preview in pixels."""

_UNTAGGED = 2
"""The colour space of frames that do not tell theirs (AVCOL_SPC_UNSPECIFIED)."""

_LUMA_FIRST = ("yuv4", "yuvj4", "nv12", "nv21", "nv16", "nv24")
"""Pixel formats (beginnings of their names) whose first plane is the luma."""


def read_video(
    clip: ClipInfo,
    warn: Callable[[str], None],
    frames_per_chunk: int = FRAME_RATE,
    log: PictureLog | None = None,
) -> Iterator[VideoFrames]:
    """The pictures of the span on the grid: for each grid instant the newest picture not after it.

    Where the span's start or end was asked for, pictures outside it are left out; else all are read, those before the
    sound (with negative grid numbers) and after it too: who is seen only there is a person of the clip all the same.
    Gaps are bridged by holding the picture before. Yields nothing for a clip without pictures. log: gets what all
    pictures tell, for `write_person_videos`.
    """
    if clip.video is None:
        return
    convert = _GridPictures(clip.video.width, clip.video.height, clip.video.rotation)
    chunk = _Chunk(frames_per_chunk)
    begin: float = 0 if clip.start_seconds > 0 else -math.inf
    end: float = math.inf
    if clip.asked_seconds < math.inf:
        end = math.ceil(clip.asked_seconds * FRAME_RATE - 1e-6)
    grid: int | None = None
    held: Any = None
    until = 0.0
    for seconds, frame in pictures(clip, warn, log=log):
        if held is not None and grid is not None:
            stop = int(min(grid_at_or_after(seconds), end))
            if grid < stop:
                luma, preview = convert(held)
                while grid < stop:
                    yield from chunk.add(luma, preview, grid)
                    grid += 1
            if grid >= end:
                held = None
                break
        if grid is None:
            grid = int(max(begin, grid_at_or_after(seconds)))
        held = frame
        until = seconds + _shown_seconds(frame, clip)
    if held is not None and grid is not None:
        luma, preview = convert(held)
        for last in range(grid, int(min(max(grid, grid_at_or_after(until)), end))):
            yield from chunk.add(luma, preview, last)
    yield from chunk.rest()


def picture_at(clip: ClipInfo, seconds: float) -> np.ndarray:
    """The picture on screen at a moment of the clip's clock: (height, width, 3) uint8 RGB, upright, full size.

    Before the first picture it is the first, after the last the last. Raises InputError when there is none.
    """
    shown: Any = None
    if clip.video is not None:
        for at, frame in pictures(clip, lambda _: None, start=seconds):
            if shown is not None and at > seconds + TOLERANCE_SECONDS:
                break
            shown = frame
    if shown is None:
        raise InputError(f"{clip.path}: no picture could be decoded at {seconds:.2f} s. Check that the file plays")
    # An untagged picture of HD size is BT.709 by convention, which swscale would not assume.
    hd = shown.colorspace == _UNTAGGED and min(shown.width, shown.height) >= 720
    space = Colorspace.ITU709 if hd else None
    picture = VideoReformatter().reformat(
        shown, format="rgb24", src_colorspace=space, dst_colorspace=space, interpolation=Interpolation.BICUBIC
    )
    return np.ascontiguousarray(np.rot90(picture.to_ndarray(), quarter_turns(shown)))


def grid_at_or_after(seconds: float) -> int:
    """The first grid number that shows a picture of this time."""
    return math.ceil((seconds - TOLERANCE_SECONDS) * FRAME_RATE)


def _shown_seconds(frame: Any, clip: ClipInfo) -> float:
    """How long the last picture stays on screen."""
    assert clip.video is not None
    duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    return duration if 0 < duration <= STALE_SECONDS else 1 / clip.video.fps


class _GridPictures:
    """Turns decoded frames into (luma, preview) arrays of one size, upright."""

    def __init__(self, width: int, height: int, rotation: int) -> None:
        self.turns = rotation // 90
        self.size = (height, width) if self.turns % 2 else (width, height)  # as stored
        scale = min(1.0, PREVIEW_SIZE / max(width, height))
        self.preview_size = (max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale)))
        self._to_luma, self._to_preview = VideoReformatter(), VideoReformatter()

    def __call__(self, frame: Any) -> tuple[np.ndarray, np.ndarray]:
        width, height = self.size
        plain = frame
        if (frame.width, frame.height) != self.size or not _has_luma_plane(frame.format) or _is_full_range(frame):
            plain = to_yuv420p(self._to_luma, frame, width, height)
        plane = plain.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]
        preview = self._to_preview.reformat(
            frame, *self.preview_size, format="rgb24", interpolation=Interpolation.AREA
        ).to_ndarray()
        if self.turns:
            luma, preview = np.rot90(luma, self.turns), np.rot90(preview, self.turns)
        return luma, preview


def to_yuv420p(reformatter: VideoReformatter, frame: Any, width: int, height: int) -> Any:
    """A frame as 8-bit yuv420p of the given size in the video range, 16 for black to 235 for white."""
    video_range = ColorRange.MPEG if _is_full_range(frame) else None
    return reformatter.reformat(frame, width, height, format="yuv420p", dst_color_range=video_range)


def _is_full_range(frame: Any) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def _has_luma_plane(pixel_format: Any) -> bool:
    name = pixel_format.name
    return name == "gray" or (name.startswith(_LUMA_FIRST) and pixel_format.components[0].bits == 8)


class _Chunk:
    """Collects pictures into VideoFrames of a fixed number."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self._luma: np.ndarray | None = None
        self._preview: np.ndarray | None = None
        self._count, self._first = 0, 0

    def add(self, luma: np.ndarray, preview: np.ndarray, grid: int) -> Iterator[VideoFrames]:
        if self._luma is None or self._preview is None:
            self._luma = np.empty((self.frames, *luma.shape), np.uint8)
            self._preview = np.empty((self.frames, *preview.shape), np.uint8)
            self._first = grid
        self._luma[self._count], self._preview[self._count] = luma, preview
        self._count += 1
        if self._count == self.frames:
            yield from self.rest()

    def rest(self) -> Iterator[VideoFrames]:
        if self._luma is not None and self._preview is not None and self._count:
            yield VideoFrames(self._luma[: self._count], self._preview[: self._count], self._first)
        self._luma = self._preview = None
        self._count = 0
