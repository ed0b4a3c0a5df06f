"""How much of the other voices is in a track: its level where only another one speaks, and what two tracks share."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d

from avsep.evaluation.no_reference.sound import Overview
from avsep.signals import FRAME_RATE

LEAST_PICTURES = FRAME_RATE // 2
"""Fewer tell no level."""

AROUND_PICTURES = 5
"""Beside its own speech, in which a track's sound may be its own breath or ending."""

FLOOR_DB = -100.0
"""Of levels: a separated track is often exact silence."""

WINDOW = 2
"""Seconds over which two tracks are compared, each second."""

LEAST_WINDOW = 1.0
"""Seconds. Over less, at the end of the tracks, two voices are alike by chance."""


def leak_db(overview: Overview) -> np.ndarray:
    """(tracks, tracks): the level of the first where only the second speaks, in dB of the second; NaN where it speaks
    alone for less than half a second."""
    count = len(overview.spoken)
    quiet = ~_near_own(overview.spoken)
    found = np.full((count, count), np.nan)
    for talker in range(count):
        alone = overview.spoken[talker] & (overview.spoken.sum(axis=0) == 1)
        for track in range(count):
            where = alone & quiet[track]
            if track != talker and where.sum() >= LEAST_PICTURES:
                found[track, talker] = _ratio_db(overview.power[track, where], overview.power[talker, where])
    return found


def idle_db(overview: Overview) -> np.ndarray:
    """(tracks,): the level of each where nobody speaks, in dB of where it speaks; NaN without half a second of both."""
    nobody = ~_near_own(overview.spoken).any(axis=0)
    found = np.full(len(overview.spoken), np.nan)
    for number, (power, spoken) in enumerate(zip(overview.power, overview.spoken, strict=True)):
        if min(nobody.sum(), spoken.sum()) >= LEAST_PICTURES:
            found[number] = _ratio_db(power[nobody], power[spoken])
    return found


def correlation(products: np.ndarray) -> np.ndarray:
    """(..., tracks, tracks) sums of products -> correlation -1..1; NaN with silence and of a track with itself.

    Voices that are separated well have nothing in common but chance.
    """
    energy = products.diagonal(axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = products / np.sqrt(energy[..., :, None] * energy[..., None, :])
    found[..., np.eye(products.shape[-1], dtype=bool)] = np.nan
    return np.where(np.isfinite(found), found, np.nan)


def in_windows(products: np.ndarray, seconds: float) -> np.ndarray:
    """Sums over WINDOW seconds from each second on: (seconds, tracks, tracks) -> the same shape; the last are over what
    is left of `seconds`, and 0 where that is less than LEAST_WINDOW."""
    padded = np.concatenate([products, np.zeros((WINDOW - 1, *products.shape[1:]), products.dtype)])
    sums = sum((padded[n : n + len(products)] for n in range(1, WINDOW)), padded[: len(products)].copy())
    sums[seconds - np.arange(len(sums)) < LEAST_WINDOW] = 0
    return sums


def _near_own(spoken: np.ndarray) -> np.ndarray:
    return maximum_filter1d(spoken.astype(np.uint8), 2 * AROUND_PICTURES + 1, axis=1) > 0


def _ratio_db(power: np.ndarray, reference: np.ndarray) -> float:
    """Of the means of two powers; NaN where the second is silent."""
    least = float(reference.mean(dtype=np.float64))
    if least <= 0:
        return np.nan
    return max(FLOOR_DB, 10 * np.log10(float(power.mean(dtype=np.float64)) / least + 10 ** (FLOOR_DB / 10)))
