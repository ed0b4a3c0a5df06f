"""What happens to the pictures of a mouth: each change a small class with its ranges.

Pictures are (pictures, height, width) uint8, and stay that to the end: a picture is then warped in microseconds.
`p` is the probability of a change, drawn for each face; ranges are (lowest, highest), drawn evenly. Black: no face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from avsep.data.ranges import Range, check
from avsep.errors import UsageError


class LipAugment:
    """A change of one face's pictures, kept up for the whole item."""

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(pictures, height, width) uint8 -> the same shape; the input may be changed."""
        raise NotImplementedError


@dataclass(frozen=True)
class Flip(LipAugment):
    """Left becomes right."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check(self)

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return lips[:, :, ::-1] if rng.random() < self.p else lips


@dataclass(frozen=True)
class Crop(LipAugment):
    """The random crop of the literature: moved by up to `pixels`; the model cuts out the centre."""

    pixels: int = 4

    def __post_init__(self) -> None:
        check(self, (0, 40), "pixels")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        _, height, width = lips.shape
        y, x = rng.integers(-self.pixels, self.pixels + 1, 2)
        rows, columns = np.clip(np.arange(height) + y, 0, height - 1), np.clip(np.arange(width) + x, 0, width - 1)
        return lips[:, rows[:, None], columns]


@dataclass(frozen=True)
class Warp(LipAugment):
    """Turned, scaled and moved, and slowly drifting: what an alignment of faces gets wrong.

    degrees: to either side. scale: 2 shows the mouth at half its size. squeeze: width to height, below 1 as of a head
    that is turned away. shift and drift (over the whole item): shares of the picture's side, in any direction.
    """

    p: float = 1.0
    degrees: float = 10.0
    scale: Range = (0.87, 1.05)
    squeeze: Range = (1.0, 1.0)
    shift: float = 0.05
    drift: float = 0.02

    def __post_init__(self) -> None:
        check(self, (0.0, 90.0), "degrees", "shift", "drift")
        check(self, (0.1, 10.0), "scale", "squeeze")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        pictures, height, width = lips.shape
        angle = np.deg2rad(rng.uniform(-self.degrees, self.degrees))
        scale = rng.uniform(*self.scale)
        # Maps the warped picture back onto the given one: what is narrower there spans more of the latter.
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[:, 0] /= rng.uniform(*self.squeeze)
        middle = np.array([width - 1, height - 1]) / 2
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        drift = rng.uniform(-self.drift, self.drift, 2) * (width, height)
        out = np.empty(lips.shape, np.uint8)
        for k, picture in enumerate(lips):
            move = middle - turn @ middle + shift + drift * (k / max(1, pictures - 1) - 0.5)
            cv2.warpAffine(
                np.ascontiguousarray(picture),
                np.column_stack([turn, move]),
                (width, height),
                dst=out[k],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        return out


@dataclass(frozen=True)
class Brightness(LipAugment):
    """Gamma, contrast around the middle gray, and light; `slope` is light that grows from one side to the other."""

    p: float = 1.0
    gamma: Range = (0.6, 1.6)
    contrast: Range = (0.6, 1.4)
    light: Range = (-0.15, 0.15)
    slope: Range = (-0.15, 0.15)

    def __post_init__(self) -> None:
        check(self, (0.01, 100.0), "gamma", "contrast")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        gamma, contrast, light, slope = (rng.uniform(*r) for r in (self.gamma, self.contrast, self.light, self.slope))
        table = ((np.arange(256) / 255) ** gamma - 0.5) * contrast + 0.5 + light
        out = np.clip(table * 255, 0, 255).astype(np.uint8)[lips]
        ramp = np.linspace(-1, 1, lips.shape[2]) * slope * 255
        # Saturating sums of 8 bits: the bright side up, the dark side down.
        up, down = np.clip(ramp, 0, 255).astype(np.uint8), np.clip(-ramp, 0, 255).astype(np.uint8)
        flat = out.reshape(-1, lips.shape[2])
        flat = cv2.subtract(cv2.add(flat, np.broadcast_to(up, flat.shape)), np.broadcast_to(down, flat.shape))
        return flat.reshape(lips.shape)


@dataclass(frozen=True)
class Blur(LipAugment):
    """Few pixels: scaled down by `factor` and up again, as a face far from the camera is."""

    p: float = 0.4
    factor: Range = (0.25, 0.8)

    def __post_init__(self) -> None:
        check(self, (0.02, 1.0), "factor")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        factor, size = rng.uniform(*self.factor), (lips.shape[2], lips.shape[1])
        small = (max(1, round(factor * size[0])), max(1, round(factor * size[1])))
        out = np.empty(lips.shape, np.uint8)
        for k, picture in enumerate(lips):
            reduced = cv2.resize(np.ascontiguousarray(picture), small, interpolation=cv2.INTER_AREA)
            cv2.resize(reduced, size, dst=out[k], interpolation=cv2.INTER_LINEAR)
        return out


@dataclass(frozen=True)
class Grain(LipAugment):
    """Noise of a camera in little light: deviation in gray levels of 0..1."""

    p: float = 0.3
    deviation: Range = (0.0, 0.05)

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "deviation")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        deviation = 255 * rng.uniform(*self.deviation)
        # A sheet of noise, moved for each picture: drawing all of it costs more than the rest together.
        sheet = rng.standard_normal(lips[0].size * 4, dtype=np.float32) * np.float32(deviation)
        starts = rng.integers(0, len(sheet) - lips[0].size, len(lips))
        grain = np.stack([sheet[s : s + lips[0].size] for s in starts]).reshape(lips.shape)
        return np.clip(lips + grain, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Occlusion(LipAugment):
    """A hand or a microphone: a gray rectangle before the mouth, for the whole time or a part of it.

    side: its sides, as shares of the picture's. seconds: how long, at 25 pictures a second.
    """

    p: float = 0.2
    side: Range = (0.1, 0.5)
    seconds: Range = (0.2, 4.0)

    def __post_init__(self) -> None:
        check(self, (0.0, 1.0), "side")
        check(self, (0.0, 3600.0), "seconds")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        pictures, height, width = lips.shape
        h, w = (max(1, round(side * rng.uniform(*self.side))) for side in (height, width))
        y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        begin, end = span(pictures, self.seconds, rng)
        out = lips.copy()
        texture = rng.normal(rng.uniform(30, 220), rng.uniform(0, 20), (h, w))
        out[begin:end, y : y + h, x : x + w] = np.clip(texture, 1, 255).astype(np.uint8)
        return out


@dataclass(frozen=True)
class SpanDropout(LipAugment):
    """The face is lost for a while: black, or, with probability `frozen`, the last picture stands still."""

    p: float = 0.3
    spans: tuple[int, int] = (1, 3)
    seconds: Range = (0.1, 1.0)
    frozen: float = 0.3

    def __post_init__(self) -> None:
        check(self, (0.0, 3600.0), "spans", "seconds")
        if not 0 <= self.frozen <= 1:
            raise UsageError(f"SpanDropout: frozen is {self.frozen}; it must lie in 0 to 1")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        out = lips.copy()
        for _ in range(rng.integers(self.spans[0], self.spans[1] + 1)):
            begin, end = span(len(lips), self.seconds, rng)
            out[begin:end] = out[max(0, begin - 1)] if rng.random() < self.frozen else 0
        return out


@dataclass(frozen=True)
class SyncJitter(LipAugment):
    """Sound and picture are rarely in step to the frame: moved by up to `frames` either way."""

    p: float = 1.0
    frames: int = 2

    def __post_init__(self) -> None:
        check(self, (0, 25), "frames")

    def __call__(self, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= self.p:
            return lips
        move = int(rng.integers(-self.frames, self.frames + 1))
        return lips[np.clip(np.arange(len(lips)) + move, 0, len(lips) - 1)]


def span(pictures: int, seconds: Range, rng: np.random.Generator) -> tuple[int, int]:
    """(begin, end) of a stretch of so many seconds within the pictures."""
    count = min(pictures, max(1, round(25 * rng.uniform(*seconds))))
    begin = int(rng.integers(0, pictures - count + 1))
    return begin, begin + count


def apply(changes: Sequence[LipAugment], lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All changes, one after the other."""
    for change in changes:
        lips = change(lips, rng)
    return np.ascontiguousarray(lips)
