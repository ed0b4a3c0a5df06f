"""A clip's pictures one by one, each with its time."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import av

from avsep.media.container import Damage, frame_seconds, open_container
from avsep.media.probe import ClipInfo
from avsep.media.time_stamps import LONGEST_GAP_SECONDS, picture_frames

T = TypeVar("T")

CLOCK = 90_000
"""Ticks per second of time stamps that are written; pictures less than one apart cannot both be shown."""

TOLERANCE_SECONDS = 0.0015
"""A picture this little after a grid instant still counts for it: containers round time stamps to 1 ms."""

STALE_SECONDS = 1.0
"""A picture older than this gives way even to one that the decoder calls damaged."""

_SEEK_MARGINS = (0.0, 2.0, 10.0)
"""Seconds before the wanted moment to seek to, in turn, until the file delivers a picture early enough."""

_ALWAYS_FROM_START = 3.0
"""Seconds into a file below which seeking saves nothing."""

_BACK_SECONDS = 1.0
"""Time stamps that go back by more than this have been reset."""

_OUTSIDE_SECONDS = 10.0
"""How long a picture may be held where there is no sound."""


@dataclass
class PictureLog:
    """What decoding the pictures of a span told: their times on the clip's clock, whether any was damaged, and all
    their kinds: width, height, pixel format, interlaced."""

    seconds: array[float] = field(default_factory=lambda: array("d"))
    damaged: bool = False
    kinds: set[tuple[int, int, str, bool]] = field(default_factory=set)

    def add(self, seconds: float, frame: Any) -> None:
        self.seconds.append(seconds)
        self.kinds.add((frame.width, frame.height, frame.format.name, bool(frame.interlaced_frame)))

    def __len__(self) -> int:
        return len(self.seconds)


def log_pictures(clip: ClipInfo) -> PictureLog:
    """Decode the pictures of the span for what they tell."""
    log = PictureLog()
    for seconds, _ in pictures(clip, lambda _: None, log=log):
        if seconds >= clip.asked_seconds:
            break
    return log


def pictures(
    clip: ClipInfo, warn: Callable[[str], None], start: float | None = None, log: PictureLog | None = None
) -> Iterator[tuple[float, Any]]:
    """Decoded pictures and their times on the clip's clock, from the one shown at `start` (or before) on.

    start: by default where the span begins, or the file, which may be before its sound.
    Damaged pictures are left out, with one warning at the end. Times never run backwards. All goes into `log`, too.
    """
    assert clip.video is not None
    if start is None:
        start = 0.0 if clip.start_seconds else min(0.0, clip.video.start_seconds)
    damage = Damage()
    line = _TimeLine(clip)
    latest: float | None = None
    try:
        for seconds, frame in _decoded_from(clip, start, damage, line):
            if frame.is_corrupt:
                damage.add(seconds + clip.origin_seconds)
                if latest is not None and seconds - latest < STALE_SECONDS:
                    continue
            latest = seconds if latest is None else max(latest, seconds)
            if log is not None:
                log.add(latest, frame)
            yield latest, frame
    finally:
        if log is not None:
            log.damaged |= damage.count > 0
        for text in line.complaints(damage):
            warn(f"{clip.path}: {text}")


def shown_pictures(clip: ClipInfo, timed: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
    """Of pictures and their times on the clip's clock those to show, and from when on; strictly increasing."""
    before: tuple[float, T] | None = None  # the newest picture before the span, still on screen when it begins
    latest = -math.inf
    for seconds, picture in timed:
        if clip.start_seconds and seconds < 0:
            before = 0.0, picture
            continue
        if seconds >= clip.asked_seconds:
            break
        if before is not None:
            if seconds > 1 / CLOCK:
                yield before
                latest = 0.0
            before = None
        if seconds > latest + 1 / CLOCK:
            yield seconds, picture
            latest = seconds
    if before is not None:
        yield before


def _decoded_from(clip: ClipInfo, start: float, damage: Damage, line: _TimeLine) -> Iterator[tuple[float, Any]]:
    """Decoded frames with times, from a moment no later than `start`, sought with growing margins if need be."""
    assert clip.video is not None
    target = start + clip.origin_seconds
    into_file = start - clip.video.start_seconds
    margins = [m for m in _SEEK_MARGINS if into_file - m > _ALWAYS_FROM_START]
    for margin in [*margins, None]:
        with open_container(clip.path) as container:
            stream = container.streams.video[clip.video.stream]
            stream.thread_type = "AUTO"
            if margin is not None:
                try:
                    container.seek(int((target - margin) / float(stream.time_base or 1)), stream=stream)
                except av.FFmpegError:
                    continue
            begun = False
            line.begin(seeking=margin is not None)
            for frame in picture_frames(container, stream, damage, clip.video.fps):
                seconds = line.seconds(frame)
                if seconds is None:
                    continue
                if not begun and margin is not None and seconds > start + TOLERANCE_SECONDS:
                    break  # the seek landed too late
                begun = True
                yield seconds, frame
            if begun:
                return


class _TimeLine:
    """Where each picture belongs on the clip's clock."""

    def __init__(self, clip: ClipInfo) -> None:
        assert clip.video is not None
        self._clip, self._video = clip, clip.video
        self._resets, self._first_reset = 0, 0.0
        self._seeking = False
        self._latest: float | None = None
        self._shift = 0.0

    def begin(self, *, seeking: bool) -> None:
        """Start anew: from the beginning of the file, or somewhere in it."""
        self._seeking, self._latest, self._shift = seeking, None, 0.0

    def seconds(self, frame: Any) -> float | None:
        """The time of the next frame; one without a time stamp follows the frame before it, and is None where nothing
        tells its time."""
        step = 1 / self._video.fps
        told = frame_seconds(frame)
        if told is None:
            if self._latest is None:
                self._latest = None if self._seeking else self._video.start_seconds
            else:
                self._latest += step
            return self._latest
        at = told - self._clip.origin_seconds + self._shift
        if self._latest is not None and not self._is_gap(self._latest, at):
            if not self._resets:
                self._first_reset = self._latest
            self._resets += 1
            self._shift += self._latest + step - at
            at = self._latest + step
        self._latest = at
        return at

    def complaints(self, damage: Damage) -> Iterator[str]:
        """What was wrong with the pictures, one sentence a kind."""
        if damage.count:
            where = "" if damage.first_seconds is None else self._at(damage.first_seconds - self._clip.origin_seconds)
            yield f"{damage.count} damaged picture(s); the picture before was held{where}"
        if damage.first_bad_stamp is not None:
            where = self._at(damage.first_bad_stamp - self._clip.origin_seconds)
            yield f"{damage.bad_stamps} time stamp(s) of the pictures cannot be right and were put right{where}"
        if self._resets:
            yield (
                f"the time stamps of the pictures jump{self._at(self._first_reset)};"
                " sound and pictures may be out of step from there"
            )

    def _is_gap(self, before: float, after: float) -> bool:
        """Whether a picture may have been held from one moment to another, or the time stamps have been reset."""
        if not -_BACK_SECONDS <= after - before <= LONGEST_GAP_SECONDS:
            return False
        outside = max(-self._clip.start_seconds - before, 0.0)
        if self._clip.asked_seconds > self._clip.duration_seconds:
            outside = max(outside, after - self._clip.duration_seconds)
        return min(outside, after - before) <= _OUTSIDE_SECONDS

    def _at(self, seconds: float) -> str:
        return f", the first at {seconds + self._clip.start_seconds:.2f} s"
