"""A clip's sound as a stream of blocks on an unbroken time line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from av.audio.resampler import AudioResampler

from avsep.errors import InputError
from avsep.media.container import Damage, decode, frame_seconds, open_container
from avsep.media.probe import ClipInfo
from avsep.signals import Audio

_JUMP_SECONDS = 0.05
"""Gaps of the time stamps below this are jitter: rounding, or a clock that drifts."""

_LOSS_SECONDS = 0.005
"""The same right after a frame that could not be decoded: there a gap is expected."""

_LONGEST_GAP_SECONDS = 600.0
"""A jump beyond this is a reset of the time stamps, not missing sound."""

_PREROLL_SECONDS = 1.0
"""Sound decoded before a span begins, so that the decoder has settled."""


def read_audio(clip: ClipInfo, warn: Callable[[str], None]) -> Iterator[Audio]:
    """The sound of the span at its native rate and channels, in blocks of exactly 1 s, the last one shorter.

    Sample 0 of the first block is the clip's time 0. Missing sound is filled with zeros, so that the
    time line holds. Raises InputError for samples that are not numbers, or when nothing can be decoded.
    """
    rate = clip.audio.sample_rate
    blocks = _Blocks(rate, clip.audio.channels)
    damage = Damage()
    wanted = round(clip.duration_seconds * rate) if clip.ends_early else None
    position: int | None = None  # of the next sample on the clip's clock
    resets = 0

    with open_container(clip.path) as container:
        stream = container.streams.audio[clip.audio.stream]
        skip_before = clip.origin_seconds - _PREROLL_SECONDS if clip.start_seconds else None
        to_float = _FloatSamples(rate)
        for frame in decode(container, stream, damage, skip_before=skip_before):
            seconds = frame_seconds(frame)
            at = position if seconds is None else round((seconds - clip.origin_seconds) * rate)
            if position is None:
                position = min(at or 0, 0)
            gap = (position if at is None else at) - position
            if gap > _LONGEST_GAP_SECONDS * rate:
                resets += 1
            elif gap > (_LOSS_SECONDS if damage.fresh else _JUMP_SECONDS) * rate:
                if wanted is not None:
                    gap = min(gap, wanted - position)
                for size in _pieces(gap, rate):
                    yield from blocks.push(np.zeros((clip.audio.channels, size), np.float32), position)
                    position += size
            damage.fresh = False
            samples = to_float(frame)
            if wanted is not None:
                samples = samples[:, : max(0, wanted - position)]
            yield from _checked(blocks.push(samples, position), clip)
            position += samples.shape[1]
            if wanted is not None and position >= wanted:
                break
        else:
            yield from _checked(blocks.push(to_float(None), position or 0), clip)
    yield from _checked(blocks.rest(), clip)

    if blocks.count == 0:
        raise InputError(f"{clip.path}: no sound could be decoded in the chosen span. Choose another span or file")
    if damage.count:
        warn(_describe(damage, clip))
    if resets:
        warn(f"{clip.path}: the time stamps of the sound start anew {resets}x; it was joined without a gap")


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
                if source != ("fltp", self._layout.name, self._rate):
                    self._resampler = AudioResampler("fltp", self._layout, self._rate)
            if self._resampler is None:
                parts.append(frame.to_ndarray())
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


def _pieces(total: int, size: int) -> Iterator[int]:
    while total > 0:
        yield min(total, size)
        total -= size


def _checked(blocks: Iterator[Audio], clip: ClipInfo) -> Iterator[Audio]:
    for block in blocks:
        finite = np.isfinite(block.samples)
        if not finite.all():
            sample = int(np.argmin(finite.all(axis=0)))
            at = clip.start_seconds + block.start_seconds + sample / block.sample_rate
            raise InputError(
                f"{clip.path}: the sound holds values that are not numbers (NaN or infinity), the first at {at:.3f} s."
                " Export it again, or choose a span without them with --start and --end"
            )
        yield block


def _describe(damage: Damage, clip: ClipInfo) -> str:
    where = ""
    if damage.first_seconds is not None:
        where = f", the first at {damage.first_seconds - clip.origin_seconds + clip.start_seconds:.2f} s"
    end = "; the rest of the file cannot be read" if damage.cut_short else ""
    return f"{clip.path}: {damage.count} damaged piece(s) of sound were replaced by silence{where}{end}"
