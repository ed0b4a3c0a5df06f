"""Files in and out: a recording as mono sound, pictures and sound as an mp4 that plays in a browser."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scipy.signal import resample_poly

from avsep.data.sound_file import SoundReader
from avsep.errors import InputError
from avsep.signals import FRAME_RATE

AAC_RATE = 48_000
"""Sample rate of the sound in the mp4; high enough for the wanted bit rate, which AAC caps per sample."""

AAC_BITS = 160_000


def read_speech(path: Path) -> tuple[np.ndarray, int]:
    """Mono float32 samples (time,) and sample rate of a sound file. Raises InputError."""
    with SoundReader(path) as file:
        samples, rate = file.read(), file.sample_rate
    if not len(samples):
        raise InputError(f"{path} has no samples")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} has samples that are not numbers (NaN or infinite)")
    return samples.mean(axis=1), rate


def resample(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples (time,) brought from one rate to another, float32."""
    if rate == wanted:
        return samples.astype(np.float32)
    common = int(np.gcd(rate, wanted))
    return resample_poly(samples.astype(np.float64), wanted // common, rate // common).astype(np.float32)


def write_mp4(
    path: Path, pictures: Iterable[np.ndarray], sound: np.ndarray, rate: int, quality: int = 21, preset: str = "medium"
) -> None:
    """Write RGB pictures (height, width, 3) uint8 at FRAME_RATE and mono sound (time,) as H.264 and AAC.

    Sides of the pictures must be even; widths that are multiples of 32 give the same bytes every time. The
    file appears under its name only when it is complete.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            video = container.add_stream("libx264", rate=FRAME_RATE)
            audio = container.add_stream("aac", rate=AAC_RATE, layout="mono")
            audio.bit_rate = AAC_BITS
            video.pix_fmt = "yuv420p"
            # A fixed number of threads, on which the bytes depend.
            video.options = {"crf": str(quality), "preset": preset, "threads": "2"}
            for number, picture in enumerate(pictures):
                if number == 0:
                    video.height, video.width = picture.shape[:2]
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
            samples = np.clip(resample(sound, rate, AAC_RATE), -1, 1)
            for start in range(0, len(samples), 1024):
                block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = AAC_RATE, start, Fraction(1, AAC_RATE)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
