"""One video per person: the input's pictures with that person marked and only that person's sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import soundfile
from av.audio.resampler import AudioResampler
from av.video.reformatter import VideoReformatter

from avsep.errors import OutputError
from avsep.media.pictures import pictures
from avsep.media.probe import ClipInfo
from avsep.media.video import grid_at_or_after, to_yuv420p
from avsep.signals import Person, ProgressHook

_CLOCK = 90_000
"""Ticks per second of the written time stamps."""

_AAC_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
"""Sample rates that AAC and browsers both know, in Hz."""

_SOUND_AHEAD = 0.5
"""Seconds by which the sound is written ahead of the pictures, so that the muxer can interleave them."""

_MARK_YUV = (210, 16, 146)
"""Bright yellow of the box around the person."""

_COLOUR_TAGS = ("colorspace", "color_range", "color_primaries", "color_trc")
"""What the planes' numbers mean; passed on so that the colours stay the same."""

_CRF = "23"
_PRESET = "superfast"


@dataclass(frozen=True)
class PersonVideo:
    """An mp4 to write to `path`: `person` marked in the picture, with the sound of the file `wav`."""

    path: Path
    person: Person
    wav: Path


def write_person_videos(
    clip: ClipInfo,
    jobs: Sequence[PersonVideo],
    warn: Callable[[str], None],
    progress: ProgressHook | None = None,
) -> None:
    """Write an mp4 (H.264 and AAC, playable in a browser) for each person, decoding the clip once.

    Pictures keep their times and size (an odd last row or column is cut off); sample 0 of each wav is at the
    clip's time 0. Where the pictures of a whole file begin before its sound, so do the videos.
    progress is called with the step "video". Raises OutputError when a file cannot be written.
    """
    if clip.video is None or not jobs:
        return
    writers: list[_Writer] = []
    try:
        convert = _Planes(clip)
        for seconds, frame in _shown(clip, warn):
            planes = convert(frame)
            if not writers:
                begin = min(seconds, 0.0)
                writers.extend(_Writer(job, clip, planes, convert.colours, begin) for job in jobs)
                # A player shows nothing before the first picture; starting with it keeps both streams at 0.
                seconds = begin
            for writer in writers:
                writer.add(seconds, planes)
            if progress is not None:
                progress("video", min(max(seconds, 0.0), clip.duration_seconds), clip.duration_seconds)
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.abandon()
    if not writers:
        warn(f"{clip.path}: no picture could be decoded, so no videos of the people were written")
    elif progress is not None:
        progress("video", clip.duration_seconds, clip.duration_seconds)


def _shown(clip: ClipInfo, warn: Callable[[str], None]) -> Iterator[tuple[float, Any]]:
    """Decoded pictures to show and their times on the clip's clock, strictly increasing."""
    assert clip.video is not None
    before: Any = None  # the newest picture before the span, still on screen when it begins
    latest = -np.inf
    for seconds, frame in pictures(clip, warn):
        if clip.start_seconds and seconds < 0:
            before = frame
            continue
        if clip.ends_early and seconds >= clip.duration_seconds:
            break
        if before is not None:
            if seconds > 1 / _CLOCK:
                yield 0.0, before
                latest = 0.0
            before = None
        if seconds > latest + 1 / _CLOCK:
            yield seconds, frame
            latest = seconds
    if before is not None:
        yield 0.0, before


class _Planes:
    """Turns decoded frames into upright Y, U, V planes of even size."""

    def __init__(self, clip: ClipInfo) -> None:
        assert clip.video is not None
        self.turns = clip.video.rotation // 90
        width, height = clip.video.width, clip.video.height
        self.stored = (height, width) if self.turns % 2 else (width, height)
        self.colours: dict[str, int] = {}
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> list[np.ndarray]:
        plain = to_yuv420p(self._reformatter, frame, *self.stored)
        self.colours = {name: getattr(plain, name) for name in _COLOUR_TAGS}
        planes = [np.rot90(_pixels(plane), self.turns) for plane in plain.planes]
        height, width = (side // 2 for side in planes[0].shape)
        return [planes[0][: height * 2, : width * 2], planes[1][:height, :width], planes[2][:height, :width]]


class _Writer:
    """One mp4 in the making."""

    def __init__(
        self, job: PersonVideo, clip: ClipInfo, planes: list[np.ndarray], colours: dict[str, int], begin: float
    ) -> None:
        assert clip.video is not None
        height, width = planes[0].shape
        self.job, self.begin = job, begin
        self._closed = False
        with self._writing():
            self.sound = _Sound(job.wav, lead_seconds=-begin)
            self.container = av.open(f"file:{job.path}", "w", format="mp4", options={"movflags": "+faststart"})
            rate = Fraction(clip.video.fps).limit_denominator(1001)
            self.pictures: Any = self.container.add_stream("libx264", rate=rate)
            self.pictures.width, self.pictures.height, self.pictures.pix_fmt = width, height, "yuv420p"
            self.pictures.time_base = self.pictures.codec_context.time_base = Fraction(1, _CLOCK)
            self.pictures.codec_context.sample_aspect_ratio = clip.video.pixel_aspect
            for name, value in colours.items():
                setattr(self.pictures.codec_context, name, value)
            self.pictures.options = {"crf": _CRF, "preset": _PRESET}
            self.voice: Any = self.container.add_stream("aac", rate=self.sound.rate, layout=self.sound.layout)

    def add(self, seconds: float, planes: list[np.ndarray]) -> None:
        """Append the picture shown from `seconds` (clip's clock) on."""
        at = seconds - self.begin
        picture = _frame(planes)
        picture.pts, picture.time_base = round(at * _CLOCK), Fraction(1, _CLOCK)
        box = _box_at(self.job.person, seconds)
        if box is not None:
            _mark(picture, box)
        with self._writing():
            self._add_sound(until=at + _SOUND_AHEAD)
            self.container.mux(self.pictures.encode(picture))

    def finish(self) -> None:
        with self._writing():
            self._add_sound(until=float("inf"))
            self.container.mux(self.pictures.encode(None))
            self.container.mux(self.voice.encode(None))
            self._closed = True
            self.container.close()
            self.sound.close()

    def abandon(self) -> None:
        """Close what `finish` did not, without a word: there is an error under way already."""
        if not self._closed:
            self._closed = True
            self.sound.close()
            with suppress(av.FFmpegError, OSError):
                self.container.close()

    def _add_sound(self, until: float) -> None:
        for frame in self.sound.frames(until):
            self.container.mux(self.voice.encode(frame))

    def _writing(self) -> _Writing:
        return _Writing(self.job.path)


class _Writing:
    """Context in which what the system or the encoder complains about becomes an OutputError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (av.FFmpegError, OSError)):
            reason = getattr(error, "strerror", None) or str(error)
            raise OutputError(
                f"{self.path}: cannot be written ({reason}). Free some space, choose another folder with -o,"
                " or leave the videos out with --no-video"
            ) from error


class _Sound:
    """A wav file as AAC-ready frames, after `lead_seconds` of silence."""

    def __init__(self, path: Path, lead_seconds: float) -> None:
        self._file = soundfile.SoundFile(path)
        source, channels = self._file.samplerate, self._file.channels
        self.rate = source if source in _AAC_RATES else 48_000
        self.layout = "mono" if channels == 1 else "stereo"
        self._source_layout = _LAYOUTS.get(channels, "stereo")
        self._lead = round(lead_seconds * source)
        self._done = 0  # samples read, the silence included
        self._resampler: AudioResampler | None = AudioResampler("fltp", self.layout, self.rate)

    def frames(self, until: float) -> Iterator[Any]:
        """The next frames, up to `until` seconds of the video's clock."""
        source = self._file.samplerate
        while self._resampler is not None and self._done < until * source:
            samples = self._next(source // 2)
            if samples.shape[1] == 0:
                yield from self._resampler.resample(None)
                self._resampler = None
                return
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self._source_layout)
            frame.sample_rate, frame.pts, frame.time_base = source, self._done, Fraction(1, source)
            self._done += samples.shape[1]
            yield from self._resampler.resample(frame)

    def _next(self, size: int) -> np.ndarray:
        if self._lead > 0:
            size = min(size, self._lead)
            self._lead -= size
            return np.zeros((_CHANNELS[self._source_layout], size), np.float32)
        block = self._file.read(size, dtype="float32", always_2d=True).T
        if len(block) not in _LAYOUTS:
            block = np.stack([block[0::2].mean(axis=0), block[1::2].mean(axis=0)])
        # Browsers cut what lies above full scale; the encoder misbehaves far beyond it.
        return np.ascontiguousarray(np.clip(block, -1.0, 1.0))

    def close(self) -> None:
        self._file.close()


_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Channel layouts that the numbers of channels of a wav file usually stand for."""

_CHANNELS = {layout: channels for channels, layout in _LAYOUTS.items()}


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


def _box_at(person: Person, seconds: float) -> np.ndarray | None:
    """The person's face box at a moment (x1, y1, x2, y2 in pixels), None while not on screen."""
    grid = grid_at_or_after(seconds)  # the first instant at which the picture is seen
    for track in person.tracks:
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
