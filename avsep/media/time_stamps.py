"""Time stamps of frames that cannot be right, told from gaps by what follows them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

from avsep.media.container import Damage, decode, frame_seconds
from avsep.signals import FRAME_RATE

JITTER_SECONDS = 0.05
"""Gaps in the time stamps of sound below this are rounding, or a clock that drifts."""

LONGEST_GAP_SECONDS = 600.0
"""A jump beyond this is a reset of the time stamps, not something missing."""

_PICTURE_JUMP_SECONDS = 1.0
"""The same for pictures, whose time stamps tell their times alone, and which may be held."""

_FOLLOWERS = 8
"""Frames that are asked about a jump: after a gap they go on from its end, after a bad time stamp from before it."""

_FIRST_SECONDS = 10.0
"""A first time stamp this far from what the next ones tell is a bad one."""

_ALIKE_SECONDS = 1.0
"""What tells where the first frame belongs must agree to this."""


def sound_frames(container: Any, stream: Any, damage: Damage, skip_before: float | None = None) -> Iterator[Any]:
    """Decode sound (see `decode`) with time stamps that can be right. A jump at the very end is none: of what little
    follows nothing tells whether it came late."""
    frames = decode(container, stream, damage, skip_before=skip_before)
    return corrected(frames, lambda f: f.samples / f.sample_rate, JITTER_SECONDS, damage, last_may_jump=False)


def picture_frames(container: Any, stream: Any, damage: Damage, frames_per_second: float) -> Iterator[Any]:
    """Decode pictures (see `decode`) with time stamps that can be right."""
    # No longer than most pictures last: variable rates may be far above the mean.
    length = min(1 / frames_per_second, 1 / FRAME_RATE)
    return corrected(decode(container, stream, damage), lambda _: length, _PICTURE_JUMP_SECONDS, damage)


def corrected(
    frames: Iterator[Any],
    length: Callable[[Any], float],
    jump_seconds: float,
    damage: Damage,
    *,
    last_may_jump: bool = True,
) -> Iterator[Any]:
    """Decoded frames, those with a bad time stamp at the time that the frames around them tell.

    length: seconds a frame lasts, at most. jump_seconds: from which difference to the expected time a stamp is looked
    into. last_may_jump: whether a jump that no frame follows is taken for a gap. Corrections are counted in `damage`.
    """
    ahead = _Lookahead(frames, damage)
    expected: float | None = None
    while (frame := ahead.take()) is not None:
        seconds = frame_seconds(frame)
        right = seconds
        if seconds is not None:
            if expected is None:
                right = _first_time(frame, seconds, ahead, length)
            elif abs(seconds - expected) > jump_seconds:
                starts = ahead.starts(frame, length, _FOLLOWERS)
                back = sum(abs(start - expected) < abs(start - seconds) for start in starts)
                if 2 * back > len(starts) or not (starts or last_may_jump):
                    right = expected
            if right is not None and right != seconds:
                frame.pts = round(right / frame.time_base)
                damage.add_stamp(right)
        begin = expected if right is None else right
        expected = None if begin is None else begin + length(frame)
        yield frame


def _first_time(frame: Any, seconds: float, ahead: _Lookahead, length: Callable[[Any], float]) -> float:
    """When the first frame begins: as it says, unless those that follow agree on another time."""
    if all(abs(start - seconds) <= _FIRST_SECONDS for start in ahead.starts(frame, length, 1)):
        return seconds
    starts = ahead.starts(frame, length, _FOLLOWERS)
    told = median(starts)
    agreeing = sum(abs(start - told) <= _ALIKE_SECONDS for start in starts)
    alone = len(starts) == 1 or 2 * agreeing <= len(starts) or abs(told - seconds) <= _FIRST_SECONDS
    return seconds if alone else told


class _Lookahead:
    """Frames that can be asked for before their turn; `damage.fresh` is kept for the frame that it was set for."""

    def __init__(self, frames: Iterator[Any], damage: Damage) -> None:
        self._frames, self._damage = frames, damage
        self._waiting: deque[tuple[Any, bool]] = deque()

    def take(self) -> Any:
        """The next frame, None at the end."""
        self._fill(1)
        if not self._waiting:
            return None
        frame, fresh = self._waiting.popleft()
        self._damage.fresh |= fresh
        return frame

    def starts(self, frame: Any, length: Callable[[Any], float], count: int) -> list[float]:
        """When `frame` began as each of up to `count` frames after it tells."""
        self._fill(count)
        starts, since = [], length(frame)
        for follower, _ in list(self._waiting)[:count]:
            seconds = frame_seconds(follower)
            if seconds is not None:
                starts.append(seconds - since)
            since += length(follower)
        return starts

    def _fill(self, count: int) -> None:
        while len(self._waiting) < count:
            fresh_before, self._damage.fresh = self._damage.fresh, False
            frame = next(self._frames, None)
            fresh, self._damage.fresh = self._damage.fresh, fresh_before
            if frame is None:
                return
            self._waiting.append((frame, fresh))
