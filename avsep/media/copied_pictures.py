"""Pictures of a clip copied as they are encoded, where the copies show what encoding anew would."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from avsep.errors import InputError
from avsep.media.container import Damage, demux, open_container
from avsep.media.mp4 import Mp4, PersonVideo, TracksVideo
from avsep.media.pictures import CLOCK, PictureLog, shown_pictures
from avsep.media.probe import ClipInfo

_CODEC = "h264"
"""The one codec that every browser plays in an mp4; with VP9 and AV1 it depends on the browser and the machine."""

_PROFILES = {"Baseline", "Constrained Baseline", "Main", "High"}

_PIXEL_FORMATS = {"yuv420p", "yuvj420p"}

_PARAMETER_SETS = {7, 8}
"""Types of H.264's NAL units that say how to decode the pictures (SPS and PPS)."""

_SAME_SECONDS = 0.001
"""Two times closer than this are of one picture."""

_MOST_REORDERED = 16
"""Pictures by which H.264 may be decoded before it is shown."""


@dataclass(frozen=True)
class CopyPlan:
    """Which packets to copy, and their times in the files.

    first: number of the first packet. stamps: (packets, 3) integers, when each is shown, when it is decoded and how
    long it lasts, in ticks of CLOCK. begin_seconds: the files' time 0 on the clip's clock.
    """

    first: int
    stamps: np.ndarray
    begin_seconds: float


def plan_copy(clip: ClipInfo, log: PictureLog) -> CopyPlan | None:
    """How to copy the pictures of a span, None where they must be encoded anew.

    That is so if browsers do not play them, if some are damaged or have other times than their packets, or if the first
    one of the span cannot be decoded without those before it. log: of all pictures of the span.
    """
    assert clip.video is not None
    shown = list(shown_pictures(clip, ((seconds, seconds) for seconds in log.seconds)))
    if not shown or log.damaged:
        return None
    damage = Damage()
    with open_container(clip.path) as container:
        stream = container.streams.video[clip.video.stream]
        if not _is_playable(stream, log):
            return None
        packets = _Packets(stream)
        if not all(packets.add(packet) for packet in _pictures_of(container, stream, damage)) or damage.count:
            return None
        time_base = float(stream.time_base or 1)

    seconds = np.array(packets.stamps) * time_base - clip.origin_seconds
    begin = min(shown[0][0], 0.0)
    told = np.array([decoded for _, decoded in shown])
    first = int(np.abs(seconds - told[0]).argmin())
    needed = seconds < clip.asked_seconds
    seconds = seconds[first : int(np.flatnonzero(needed).max(initial=first)) + 1]
    order = np.argsort(seconds, kind="stable")
    in_time = seconds[order]
    # After the end of a span there may be pictures that those before it are decoded from.
    enough = len(in_time) == len(told) or (clip.asked_seconds < math.inf and len(in_time) > len(told))
    if not enough or not packets.is_key[first] or np.abs(in_time[: len(told)] - told).max() > _SAME_SECONDS:
        return None
    stamps = _stamps(in_time - begin, order, 1 / clip.video.fps)
    return None if stamps is None else CopyPlan(first, stamps, begin)


def plan_own(path: Path, begin_seconds: float) -> CopyPlan:
    """How to copy all pictures of an mp4 that avsep wrote: as they are. begin_seconds: see CopyPlan. Raises InputError
    where there are none."""
    with open_container(path) as container:
        stream: Any = next(iter(container.streams.video), None)
        packets = [] if stream is None else list(_pictures_of(container, stream, Damage()))
        times = [(packet.pts, packet.dts, packet.duration) for packet in packets]
        if not times or any(value is None for row in times for value in row):
            raise InputError(f"{path}: has no pictures that can be copied. Separate the clip again with --overwrite")
        ticks = float(stream.time_base) * CLOCK
    return CopyPlan(0, np.round(np.array(times) * ticks).astype(np.int64), begin_seconds)


def copy_pictures(
    clip: ClipInfo, plan: CopyPlan, jobs: Sequence[PersonVideo | TracksVideo], progress: Callable[[float], None]
) -> None:
    """Write an mp4 for each job, reading the clip once. progress is called with the time of each packet."""
    assert clip.video is not None
    with open_container(clip.path) as container, ExitStack() as files:
        stream = container.streams.video[clip.video.stream]

        def copied(target: Any) -> Any:
            copy = target.add_stream_from_template(stream)
            if stream.sample_aspect_ratio:  # the container's may differ from what is encoded
                copy.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
            return copy

        mp4s = [files.enter_context(Mp4(job, -plan.begin_seconds, copied)) for job in jobs]
        packets = islice(_pictures_of(container, stream, Damage()), plan.first, None)
        for (shown, decoded, lasting), packet in zip(plan.stamps.tolist(), packets, strict=False):
            packet.time_base = Fraction(1, CLOCK)
            packet.pts, packet.dts, packet.duration = shown, decoded, lasting
            for mp4 in mp4s:
                mp4.add(packet)
            progress(decoded / CLOCK + plan.begin_seconds)


def _is_playable(stream: Any, log: PictureLog) -> bool:
    """Whether browsers play a stream in an mp4, and all its pictures are as its header says."""
    if stream.codec_context.name != _CODEC or stream.profile not in _PROFILES or not stream.codec_context.extradata:
        return False
    plain = {(stream.width, stream.height, name, False) for name in _PIXEL_FORMATS}
    return len(log.kinds) == 1 and log.kinds <= plain


def _pictures_of(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    return (packet for packet in demux(container, stream, damage) if packet.size)


class _Packets:
    """Time stamps of packets, and which are key frames."""

    def __init__(self, stream: Any) -> None:
        self.stamps: list[int] = []
        self.is_key: list[bool] = []
        self._header: bytes = stream.codec_context.extradata
        # Units are led by their length, of so many bytes, or by start codes.
        self._length_bytes = (self._header[4] & 3) + 1 if self._header[0] == 1 else 0

    def add(self, packet: Any) -> bool:
        """Whether a packet could be copied as far as it alone tells."""
        if packet.pts is None or packet.is_corrupt or packet.has_sidedata("new_extradata"):
            return False
        self.stamps.append(packet.pts)
        self.is_key.append(packet.is_keyframe)
        return not packet.is_keyframe or self._is_as_in_header(bytes(packet))

    def _is_as_in_header(self, data: bytes) -> bool:
        """Whether what a picture brings along to be decoded with is what the stream's header holds."""
        return all(
            unit.rstrip(b"\0") in self._header
            for unit in _units(data, self._length_bytes)
            if unit and unit[0] & 31 in _PARAMETER_SETS
        )


def _units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The NAL units of a packet."""
    if not length_bytes:
        yield from re.split(b"\0\0\1", data)[1:]
        return
    at = 0
    while at + length_bytes < len(data):
        begin = at + length_bytes
        at = begin + int.from_bytes(data[at:begin], "big")
        yield data[begin:at]


def _stamps(in_time: np.ndarray, order: np.ndarray, last_seconds: float) -> np.ndarray | None:
    """Times of packets as in CopyPlan; None where two pictures would fall on one tick, or are reordered too far.

    in_time: (packets,) seconds at which the pictures are shown, rising. order: number of the packet of each.
    last_seconds: how long the last one is shown.
    """
    ticks = np.round(in_time * CLOCK).astype(np.int64)
    ticks[0] = 0  # a player shows nothing before the first picture; starting with it keeps both streams at 0
    rank = np.argsort(order)
    ahead = int((np.arange(len(rank)) - rank).max())
    lasting = np.diff(ticks, append=ticks[-1] + round(last_seconds * CLOCK))
    if (lasting <= 0).any() or ahead > _MOST_REORDERED:
        return None
    # Decoded in the rhythm in which they are shown, as late as the order allows.
    decoded = np.concatenate([ticks[:ahead] - ticks[ahead], ticks[: len(ticks) - ahead]])
    return np.stack([ticks[rank], decoded, lasting[rank]], axis=1)
