"""A clip's sound as a stream of blocks on an unbroken time line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from av.audio.resampler import AudioResampler

from avsep.errors import InputError
from avsep.media.container import Damage, frame_seconds, open_container
from avsep.media.probe import ClipInfo
from avsep.media.time_stamps import JITTER_SECONDS, LONGEST_GAP_SECONDS, sound_frames
from avsep.signals import Audio

_LOSS_SECONDS = 0.005
"""The same right after a frame that could not be decoded: there a gap is expected."""

_SHORT_SECONDS = 1.0
"""A stream that ends this much before its header says is worth a word."""

_PREROLL_SECONDS = 1.0
"""Sound decoded before a span begins, so that the decoder has settled."""

_LARGEST_SAMPLE = 1e7
"""Times full scale, beyond which samples are damage. Integers of 24 bits that were stored as floats without scaling are
sound still and reach 8.4e6; the squares of what lies far beyond do not fit a 32-bit float, and become NaN."""


def read_audio(clip: ClipInfo, warn: Callable[[str], None]) -> Iterator[Audio]:
    """The sound of the span at its native rate and channels, in blocks of exactly 1 s, the last one shorter.

    Sample 0 of the first block is the clip's time 0. Missing sound is filled with zeros, so that the
    time line holds. Raises InputError for samples that are not numbers, or when nothing can be decoded.
    """
    rate = clip.audio.sample_rate
    blocks = _Blocks(rate, clip.audio.channels)
    damage = Damage()
    line = _TimeLine(clip)

    with open_container(clip.path) as container:
        stream = container.streams.audio[clip.audio.stream]
        skip_before = clip.origin_seconds - _PREROLL_SECONDS if clip.start_seconds else None
        to_float = _FloatSamples(rate)
        for frame in sound_frames(container, stream, damage, skip_before):
            for size in line.missing_before(frame, damage):
                yield from blocks.push(np.zeros((clip.audio.channels, size), np.float32), line.position)
                line.position += size
            samples = line.cut(to_float(frame))
            yield from _checked(blocks.push(samples, line.position), clip)
            line.position += samples.shape[1]
            if line.at_end:
                break
        else:
            yield from _checked(blocks.push(line.cut(to_float(None)), line.position), clip)
        announced = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
    yield from _checked(blocks.rest(), clip)

    if blocks.count == 0:
        raise InputError(f"{clip.path}: no sound could be decoded in the chosen span. Choose another span or file")
    for text in line.complaints(damage, announced):
        warn(f"{clip.path}: {text}")


class _TimeLine:
    """Where the next sample belongs on the clip's clock, and what is missing before it."""

    def __init__(self, clip: ClipInfo) -> None:
        self._clip, self._rate = clip, clip.audio.sample_rate
        self._stop = round(clip.asked_seconds * self._rate) if clip.asked_seconds < math.inf else None
        self._filled, self._first_filled = 0, 0
        self._resets, self._first_reset = 0, 0
        self.position = 0  # number of the next sample on the clip's clock

    @property
    def at_end(self) -> bool:
        return self._stop is not None and self.position >= self._stop

    def cut(self, samples: np.ndarray) -> np.ndarray:
        """The part of samples (channels, time) that lies before the end of the span."""
        return samples if self._stop is None else samples[:, : max(0, self._stop - self.position)]

    def missing_before(self, frame: Any, damage: Damage) -> Iterator[int]:
        """Numbers of zeros to put before a frame, in pieces of at most a second."""
        seconds = frame_seconds(frame)
        if seconds is None:
            return
        at = round((seconds - self._clip.origin_seconds) * self._rate)
        if self.position <= 0:
            # Nothing is delivered yet. A decoder may swallow the beginning of what it is first given, so that
            # only the frame's own time stamp tells where it belongs.
            self.position = min(at, 0)
        gap = at - self.position
        tolerance = _LOSS_SECONDS if damage.fresh else JITTER_SECONDS
        damage.fresh = False
        if abs(gap) > LONGEST_GAP_SECONDS * self._rate or gap < -self._rate:
            if not self._resets:
                self._first_reset = self.position
            self._resets += 1
        elif gap > tolerance * self._rate:
            if not self._filled:
                self._first_filled = self.position
            gap = gap if self._stop is None else min(gap, self._stop - self.position)
            self._filled += gap
            yield from (min(self._rate, gap - done) for done in range(0, gap, self._rate))

    def complaints(self, damage: Damage, announced: float) -> Iterator[str]:
        """What was wrong with the sound, one sentence a kind; announced: the length of the stream by its header."""
        end = "; the rest of the file cannot be read" if damage.cut_short else ""
        if damage.count:
            where = "" if damage.first_seconds is None else self._at(damage.first_seconds - self._clip.origin_seconds)
            yield f"{damage.count} damaged piece(s) of sound could not be decoded{where}{end}"
        if damage.first_bad_stamp is not None:
            where = self._at(damage.first_bad_stamp - self._clip.origin_seconds)
            yield f"{damage.bad_stamps} time stamp(s) of the sound cannot be right and were put right{where}"
        if self._filled:
            yield (
                f"{self._filled / self._rate:.2f} s of missing sound were filled with silence"
                f"{self._at(self._first_filled / self._rate)}"
            )
        if self._resets:
            yield (
                f"the time stamps of the sound jump{self._at(self._first_reset / self._rate)};"
                " sound and pictures may be out of step from there"
            )
        ended = self._clip.start_seconds + self.position / self._rate
        if self._stop is None and ended < announced - _SHORT_SECONDS:
            yield f"the sound ends at {ended:.2f} s, {announced:.2f} s were announced: the file may be cut off"

    def _at(self, seconds: float) -> str:
        return f", the first at {seconds + self._clip.start_seconds:.2f} s"


class _Blocks:
    """Collects samples into blocks of one second; what lies before time 0 is dropped."""

    def __init__(self, rate: int, channels: int) -> None:
        self.rate, self.count = rate, 0
        self._block = np.zeros((channels, rate), np.float32)
        self._filled = 0

    def push(self, samples: np.ndarray, position: int) -> Iterator[Audio]:
        """Add samples (channels, time), the first of which has number `position` on the clip's clock."""
        samples = samples[:, max(0, -position) :]
        while samples.shape[1]:
            size = min(samples.shape[1], self.rate - self._filled)
            self._block[:, self._filled : self._filled + size] = samples[:, :size]
            self._filled += size
            samples = samples[:, size:]
            if self._filled == self.rate:
                yield from self.rest()

    def rest(self) -> Iterator[Audio]:
        if self._filled:
            block = Audio(self._block[:, : self._filled].copy(), self.rate, float(self.count))
            self._filled = 0
            self.count += 1
            yield block


class _FloatSamples:
    """Frames of any format to (channels, time) float32 at the rate and layout of the first frame."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._layout: Any = None
        self._source: tuple | None = None
        self._resampler: AudioResampler | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        """Samples that are ready; a frame of None flushes what a resampler still holds."""
        parts: list[np.ndarray] = []
        if frame is None:
            parts = self._flush()
        else:
            if self._layout is None:
                self._layout = frame.layout
            source = (frame.format.name, frame.layout.name, frame.sample_rate)
            if source != self._source:
                parts = self._flush()
                self._source = source
                if source[1:] != (self._layout.name, self._rate):
                    self._resampler = AudioResampler("fltp", self._layout, self._rate)
            if self._resampler is None:
                parts.append(_to_float(frame))
            else:
                frame.pts = None  # the time line is kept by the caller
                parts += [f.to_ndarray() for f in self._resampler.resample(frame)]
        if not parts:
            channels = self._layout.nb_channels if self._layout is not None else 0
            return np.zeros((channels, 0), np.float32)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _flush(self) -> list[np.ndarray]:
        resampler, self._resampler = self._resampler, None
        return [] if resampler is None else [f.to_ndarray() for f in resampler.resample(None)]


def _to_float(frame: Any) -> np.ndarray:
    """Samples of a frame of any sample format: (channels, time) float32, full scale +-1."""
    samples = frame.to_ndarray()
    if frame.format.is_packed:  # (1, time * channels)
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    middle = 128 if samples.dtype.kind == "u" else 0
    full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return ((samples.astype(np.float64) - middle) / full_scale).astype(np.float32)


def _checked(blocks: Iterator[Audio], clip: ClipInfo) -> Iterator[Audio]:
    for block in blocks:
        level = np.abs(block.samples).max(axis=0)  # NaN where any channel is
        sane = level <= _LARGEST_SAMPLE
        if not sane.all():
            first = int(np.argmin(sane))
            at = clip.start_seconds + block.start_seconds + first / block.sample_rate
            if np.isfinite(level[first]):
                wrong = f"a sample of {level[first]:.3g} times full scale (at most {_LARGEST_SAMPLE:g} can be sound)"
            else:
                wrong = "values that are not numbers (NaN or infinity)"
            raise InputError(
                f"{clip.path}: the sound holds {wrong}, the first at {at:.3f} s."
                " Export it again, or choose a span without them with --start and --end"
            )
        yield block
