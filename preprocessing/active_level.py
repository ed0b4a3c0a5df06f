"""How loud speech is while somebody speaks: the active level of ITU-T Recommendation P.56, method B."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

TIME_CONSTANT = 0.03
"""Seconds; of both smoothing stages of the envelope."""

HANGOVER = 0.2
"""Seconds that still count as active after the envelope fell below a threshold."""

MARGIN_DB = 15.9
"""How far below the active level the threshold lies that tells speech from pauses."""

THRESHOLDS = 2.0 ** -np.arange(1, 20)
"""Relative to full scale, one every 6.02 dB."""


def active_level(speech: np.ndarray, sample_rate: int) -> float:
    """Root mean square of speech (time,) over the time in which it is active; 0 for silence.

    P.56's band limits, which voiced speech at 8 kHz meets anyway, are left to the caller.
    """
    energy = float(np.sum(speech.astype(np.float64) ** 2))
    g = np.exp(-1 / (sample_rate * TIME_CONSTANT))
    envelope = np.abs(speech).astype(np.float64)
    for _ in range(2):
        envelope = lfilter([1 - g], [1, -g], envelope)
    place = np.arange(len(speech))
    above: tuple[float, float] | None = None  # level and margin in dB at the threshold before
    for threshold in THRESHOLDS:
        last = np.maximum.accumulate(np.where(envelope >= threshold, place, -len(place) - sample_rate))
        active = int(np.count_nonzero(place - last <= HANGOVER * sample_rate))
        if not active or not energy:
            continue
        level = 10 * np.log10(energy / active)
        margin = level - 20 * np.log10(threshold)
        if margin >= MARGIN_DB:
            if above is not None:
                # Between two thresholds both levels run almost straight: interpolate to the margin.
                share = (MARGIN_DB - above[1]) / (margin - above[1])
                level = above[0] + share * (level - above[0])
            return float(10 ** (level / 20))
        above = (level, margin)
    return float(np.sqrt(energy / max(len(speech), 1)))
