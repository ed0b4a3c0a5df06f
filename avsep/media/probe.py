"""What a media file holds and when: everything that is known before decoding starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from avsep.errors import InputError, UsageError
from avsep.media.checks import check_sound
from avsep.media.container import Damage, frame_seconds, open_container
from avsep.media.time_stamps import LONGEST_GAP_SECONDS, picture_frames, sound_frames
from avsep.media.unchanged import FileState
from avsep.signals import FRAME_RATE

_NOT_A_VIDEO = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image

_TAIL_SECONDS = 10
"""Length of the end of a file that is searched for the last sound where no header tells its length."""

_HIGHEST_FPS = 300
"""Frame rates beyond this are the container's ticks, not a rate of pictures."""


@dataclass(frozen=True)
class AudioInfo:
    """The chosen audio stream. stream: its number among the audio streams, from 0; sample_rate in Hz; layout: what the
    container says of the channels, such as "stereo", "5.1" or, where it says nothing, "4 channels"."""

    stream: int
    sample_rate: int
    channels: int
    codec: str
    layout: str = ""


@dataclass(frozen=True)
class VideoInfo:
    """The video stream. stream: its number among the video streams, from 0; width and height of the upright picture.

    rotation: degrees counter-clockwise that make a stored picture upright (0, 90, 180 or 270);
    start_seconds: time of the first picture of the file on the clip's clock (negative when before the sound);
    pixel_aspect: width of an upright pixel as shown, in heights.
    """

    stream: int
    width: int
    height: int
    fps: float
    rotation: int
    start_seconds: float
    pixel_aspect: Fraction = Fraction(1)


@dataclass(frozen=True)
class ClipInfo:
    """A span of a media file.

    start_seconds: where the span begins on the audio stream's own clock, whose 0 is its first sample.
    duration_seconds: length of the span's sound, the best estimate before decoding.
    origin_seconds: the container's time stamp at which the clip's clock shows 0.
    asked_seconds: length that was asked for, of sound and pictures; without bound where the span ends with the file.
    file_state: of the file when it was probed.
    """

    path: Path
    audio: AudioInfo
    video: VideoInfo | None
    start_seconds: float
    duration_seconds: float
    origin_seconds: float = 0.0
    asked_seconds: float = math.inf
    file_state: FileState | None = None


def probe(
    path: Path | str, *, audio_stream: int | None = None, start: float | None = None, end: float | None = None
) -> ClipInfo:
    """Look at a file and choose its streams and span.

    audio_stream counts the audio streams from 0 (default: the one the file marks as its main one).
    start and end are seconds on the audio stream's own clock.
    Raises InputError when there is nothing to separate, UsageError when the options do not fit the file.
    """
    path = Path(path)
    _check_span(start, end)
    with open_container(path) as container:
        state = FileState.of(path)
        audio, first_audio, first_end = _probe_audio(container, path, audio_stream)
    with open_container(path) as container:
        duration = _end_of_stream(container, container.streams.audio[audio.stream], first_end) - first_audio
    with open_container(path) as container:
        begin = start or 0.0
        if begin >= duration:
            raise InputError(
                f"{path}: --start {begin:g} s is at or after the end of the sound, which lasts {duration:.2f} s."
                f" Choose a start below {duration:.2f}"
            )
        origin = first_audio + begin
        video = probe_video(container, origin)
    asked = (math.inf if end is None else end) - begin
    return ClipInfo(path, audio, video, begin, min(asked, duration - begin), origin, asked, state)


def _check_span(start: float | None, end: float | None) -> None:
    for name, value in (("--start", start), ("--end", end)):
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(f"{name} {value:g} is not a time in the file: give seconds, 0 or more")
    if end is not None and end <= (start or 0.0):
        raise UsageError(f"--end {end:g} s is not after --start {start or 0.0:g} s: choose a later end")


def _probe_audio(container: Any, path: Path, number: int | None) -> tuple[AudioInfo, float, float]:
    """The chosen stream, and when its first frame begins and ends on the container's clock."""
    streams = container.streams.audio
    if not streams:
        raise InputError(f"{path}: has no audio stream, so there is nothing to separate. Give a file with sound")
    if number is None:
        best = container.streams.best("audio")
        number = next((i for i, s in enumerate(streams) if best is not None and s.index == best.index), 0)
    elif not 0 <= number < len(streams):
        allowed = ", ".join(str(i) for i in range(len(streams)))
        plural = "streams" if len(streams) > 1 else "stream"
        raise UsageError(f"--audio-stream {number}: {path} has {len(streams)} audio {plural}; allowed: {allowed}")
    stream = streams[number]
    if stream.codec_context is None:
        raise InputError(
            f"{path}: the sound of audio stream {number} is in a format that cannot be decoded. Convert the file"
        )
    damage = Damage()
    for frame in sound_frames(container, stream, damage):
        if frame.samples:
            break
    else:
        why = f"none of its {damage.count} packets could be decoded" if damage.count else "it holds no samples (0 s)"
        raise InputError(f"{path}: audio stream {number} has no sound: {why}. Nothing to separate; give another file")
    first = frame_seconds(frame) or 0.0
    layout = frame.layout
    check_sound(path, frame.sample_rate, layout.nb_channels)
    info = AudioInfo(number, frame.sample_rate, layout.nb_channels, stream.codec_context.name, layout.name)
    return info, first, first + frame.samples / frame.sample_rate


def _end_of_stream(container: Any, stream: Any, end: float) -> float:
    """End of a stream on the container's clock, from its header where that tells, else from its last packets.

    end: that of its first frame.
    """
    if stream.duration:
        begin = stream.start_time if stream.start_time is not None else 0
        return max(float((begin + stream.duration) * stream.time_base), end)
    if container.duration:
        near = (container.start_time or 0) + container.duration - _TAIL_SECONDS * 1_000_000
        if near > end * 1_000_000:
            try:
                container.seek(int(near))
            except av.FFmpegError:
                container.seek(0)
            tail = _last_packet_end(container, stream)
            if tail is not None:
                return tail
            container.seek(0)  # the sound ends long before the pictures
    return max(_last_packet_end(container, stream) or end, end)


def end_of_pictures(clip: ClipInfo) -> float:
    """When the pictures of a clip's file end, on the clip's clock."""
    assert clip.video is not None
    first = clip.origin_seconds + clip.video.start_seconds
    with open_container(clip.path) as container:
        stream = container.streams.video[clip.video.stream]
        return _end_of_stream(container, stream, first + 1 / clip.video.fps) - clip.origin_seconds


def _last_packet_end(container: Any, stream: Any) -> float | None:
    """End of the last of the stream's packets that are still to be read, None if there are none."""
    end = None
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None:
            at = float((packet.pts + (packet.duration or 0)) * stream.time_base)
            if end is None or end < at <= end + LONGEST_GAP_SECONDS:
                end = at
    return end


def probe_video(container: Any, origin: float) -> VideoInfo | None:
    """The main video stream that holds moving pictures and can be decoded, if any.

    origin: time on the container's clock at which the clip's clock shows 0.
    """
    streams = list(container.streams.video)
    usable = [s for s in streams if s.codec_context is not None and not s.disposition & _NOT_A_VIDEO]
    if not usable:
        return None
    best = container.streams.best("video")
    stream = next((s for s in usable if best is not None and s.index == best.index), usable[0])
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    fps = next((float(rate) for rate in rates if rate and 1 <= rate <= _HIGHEST_FPS), float(FRAME_RATE))
    frame = next(picture_frames(container, stream, Damage(), fps), None)
    if frame is None:
        return None
    rotation = quarter_turns(frame) * 90
    width, height = (frame.height, frame.width) if rotation % 180 else (frame.width, frame.height)
    start = (frame_seconds(frame) or 0.0) - origin
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    upright_aspect = 1 / aspect if rotation % 180 else aspect
    return VideoInfo(streams.index(stream), width, height, fps, rotation, start, upright_aspect)


def quarter_turns(frame: Any) -> int:
    """Quarter turns counter-clockwise (0 to 3) that make a stored picture upright."""
    return round(frame.rotation / 90) % 4
