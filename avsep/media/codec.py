"""A sound through a codec and back, in memory."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from scipy.signal import correlate

from avsep.errors import UsageError

CODECS = {"aac": ("aac", "mp4"), "mp3": ("libmp3lame", "mp3"), "opus": ("libopus", "ogg")}
"""Encoder and container by name."""

MOST_DELAY = 8192
"""Samples by which an encoder and a decoder may be late together."""


def coded(x: np.ndarray, sample_rate: int, codec: str, bits_per_second: int) -> np.ndarray:
    """(channels, time) float32, one or two channels -> what a decoder makes of it: the same shape, in step and at the
    same level.

    codec: one of CODECS. sample_rate: any for "aac" and "mp3" that they know, 8, 12, 16, 24 or 48 kHz for "opus".
    Raises UsageError for what the encoder refuses.
    """
    channels = len(x)
    if not np.any(x):
        return x.copy()
    encoder, container = CODECS[codec]
    layout = "mono" if channels == 1 else "stereo"
    scale = np.float32(max(1.0, float(np.abs(x).max())))
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as output:
            stream: Any = output.add_stream(encoder, rate=sample_rate, layout=layout)
            stream.bit_rate = bits_per_second
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(x / scale, np.float32), "fltp", layout)
            frame.sample_rate = sample_rate
            # To the format and the frame size that the encoder takes.
            resampler = AudioResampler(stream.codec_context.format, layout, sample_rate)
            for part in resampler.resample(frame):
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
    except (av.FFmpegError, ValueError) as error:
        raise UsageError(
            f"codec {codec!r} takes no {channels} channels at {sample_rate} Hz and {bits_per_second} bit/s: {error}"
        ) from error
    file.seek(0)
    made: Any
    with av.open(file, format=container) as made:
        resampler = AudioResampler("fltp", layout, sample_rate)
        frames = [part for frame in made.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    decoded = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return np.ascontiguousarray(_in_step(decoded, x)) * scale


def _in_step(decoded: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The stretch of `decoded` that goes with x. Not all containers tell the delay, so it is found by correlation."""
    time = x.shape[1]
    padded = np.pad(decoded[:, : time + MOST_DELAY], ((0, 0), (MOST_DELAY, MOST_DELAY + time)))
    window = padded[0, : time + 2 * MOST_DELAY]
    delay = int(np.argmax(correlate(window, x[0], "valid", "fft")))
    return padded[:, delay : delay + time]
