"""Predictions of what people would judge: PESQ (ITU-T P.862), STOI and ESTOI (Taal, 2011; Jensen and Taal, 2016)."""

from __future__ import annotations

import math
import warnings

import numpy as np

from avsep.dsp.resample import resample

NARROW, WIDE = 8_000, 16_000
"""The two rates PESQ knows, in Hz."""


def pesq(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """PESQ as MOS-LQO, 1.0 to 4.6: (time,) each. Narrow band at 8 kHz, wide band (P.862.2) at any other rate, which is
    brought to 16 kHz. NaN where PESQ finds no speech or too little sound (less than a quarter of a second)."""
    import pesq as package

    rate = NARROW if sample_rate == NARROW else WIDE
    estimate, reference = (resample(x.astype(np.float32), sample_rate, rate) for x in (estimate, reference))
    try:
        return float(package.pesq(rate, reference, estimate, "nb" if rate == NARROW else "wb"))
    except package.PesqError:
        return math.nan


def stoi(estimate: np.ndarray, reference: np.ndarray, sample_rate: int, *, extended: bool) -> float:
    """STOI or, with `extended`, ESTOI, about 0 to 1: (time,) each. NaN where less than 0.4 s of speech is left once
    the silent frames are taken out."""
    import pystoi

    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5, which would count in a mean.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference, estimate, sample_rate, extended=extended))
        except RuntimeWarning:
            return math.nan
