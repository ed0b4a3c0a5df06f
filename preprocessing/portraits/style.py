"""Everything that varies from one animated clip to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Style:
    """How a portrait talks and how it is filmed. The defaults are those of a calm speaker and a good camera.

    gain: largest mouth opening, 1 is about a quarter of the distance between the eyes. smoothing: of the mouth's
    motion, in seconds (standard deviation). rounding: how far vowels change the mouth's width, 0..2. sway: head motion,
    1 is a few hundredths of the eye distance. blinks per minute. flicker: of the brightness, standard deviation.
    face: height of the face in pixels, None keeps the picture's. zoom: width of the frame in face heights. mirrored:
    left and right exchanged. brightness, contrast, warmth (red against blue): factors. background: 0 keeps the
    picture's, up to 1 blends a plain colour in behind the head. blur in pixels (standard deviation). noise: standard
    deviation in levels of 255. quality: H.264 constant rate factor, larger is worse.
    """

    gain: float = 1.0
    smoothing: float = 0.028
    rounding: float = 1.0
    sway: float = 1.0
    blinks: float = 16.0
    flicker: float = 0.006
    face: float | None = None
    zoom: float = 2.0
    mirrored: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    warmth: float = 1.0
    background: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    quality: int = 21


def random_style(rng: np.random.Generator) -> Style:
    """A style drawn for training: a wide but believable range of speakers and cameras."""
    blurred, noisy, plain = rng.random(3) < (0.4, 0.6, 0.4)
    return Style(
        gain=float(rng.uniform(0.55, 1.3)),
        smoothing=float(rng.uniform(0.02, 0.045)),
        rounding=float(rng.uniform(0.3, 1.6)),
        sway=float(rng.uniform(0.3, 2.0)),
        blinks=float(rng.uniform(8, 28)),
        flicker=float(rng.uniform(0, 0.015)),
        face=float(np.exp(rng.uniform(np.log(70), np.log(220)))),
        zoom=float(rng.uniform(1.6, 2.4)),
        mirrored=bool(rng.random() < 0.5),
        brightness=float(rng.uniform(0.75, 1.2)),
        contrast=float(rng.uniform(0.8, 1.2)),
        warmth=float(rng.uniform(0.9, 1.12)),
        background=float(rng.uniform(0.5, 1.0)) if plain else 0.0,
        blur=float(rng.uniform(0.3, 1.2)) if blurred else 0.0,
        noise=float(rng.uniform(0.5, 5.0)) if noisy else 0.0,
        quality=int(rng.integers(18, 34)),
    )
