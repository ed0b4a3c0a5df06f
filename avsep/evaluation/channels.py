"""Which channel the figures are of, where signals have several."""

from __future__ import annotations

from typing import Literal

import numpy as np

from avsep.evaluation.trial import Trial

Channels = Literal["auto", "mean", "first"]

STEREO = 2
"""Up to so many channels are taken for stereo, which is compared by its mean; more are the microphones of an array, as
for `avsep separate`."""


def one_channel(signals: np.ndarray, first: bool) -> np.ndarray:
    """(..., channels, time) -> (..., time): the first channel, or the mean."""
    return signals[..., 0, :] if first else signals.mean(axis=-2)


def takes_first(channels: Channels, *counts: int) -> bool:
    """Whether signals of so many channels are compared at the first of them (of an array, microphone 0)."""
    return channels == "first" or (channels == "auto" and max(counts) > STEREO)


def compared(trial: Trial, channels: Channels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mixture (time,), references and estimates (n, time) at the one channel that is compared: of all three the first,
    or of all three the mean."""
    signals = trial.mixture, trial.references, trial.estimates
    first = takes_first(channels, *(x.shape[-2] for x in signals))
    return one_channel(trial.mixture, first), one_channel(trial.references, first), one_channel(trial.estimates, first)
