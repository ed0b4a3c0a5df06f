"""Raw samples: bytes of a stream to numbers and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SampleFormat:
    """How a sample is stored, little-endian. full_scale: the number that 1.0 stands for; 0 for floats."""

    name: str
    width: int
    full_scale: int = 0

    def decode(self, data: bytes, channels: int) -> np.ndarray:
        """Whole frames -> (channels, time) float32, full scale +-1."""
        if self.width == 3:
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            numbers = wide.view("<i4")[:, 0] >> 8
        else:
            numbers = np.frombuffer(data, self._dtype)
        samples = numbers.astype(np.float32)
        if self.full_scale:
            samples *= 1 / self.full_scale
        return samples.reshape(-1, channels).T

    def encode(self, samples: np.ndarray) -> bytes:
        """(channels, time) -> bytes; of integers, what is beyond full scale is clipped."""
        frames = samples.T
        if not self.full_scale:
            return frames.astype(self._dtype).tobytes()
        scaled = np.rint(frames.astype(np.float64) * self.full_scale)
        numbers = np.clip(scaled, -self.full_scale, self.full_scale - 1).astype("<i4")
        if self.width == 3:
            return numbers.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
        return numbers.astype(self._dtype).tobytes()

    @property
    def _dtype(self) -> str:
        return f"<{'i' if self.full_scale else 'f'}{self.width}"


FORMATS = {
    one.name: one
    for one in (
        SampleFormat("s16le", 2, 2**15),
        SampleFormat("s24le", 3, 2**23),
        SampleFormat("s32le", 4, 2**31),
        SampleFormat("f32le", 4),
        SampleFormat("f64le", 8),
    )
}

MOST_LEVEL = 1e7
"""Times full scale, beyond which a sample is damage, as in files."""


def without_damage(samples: np.ndarray, tell: Callable[[int], None]) -> np.ndarray:
    """Silence in the place of samples that are not finite or far beyond full scale, one of which would be in a model's
    memory for ever. tell: is called with their number, if there are any."""
    good = np.abs(samples) <= MOST_LEVEL  # false for NaN
    if good.all():
        return samples
    tell(int(good.size - good.sum()))
    return np.where(good, samples, np.float32(0))
