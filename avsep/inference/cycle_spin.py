"""Cycle spinning: a model hears a mixture several times, each time a little later, and what it says is averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avsep.inference.stitch import source_order

CYCLE = 64
"""Samples over which the passes are spread: the stride of the bundled models' encoders, after which their frames lie
on the signal as before."""


def cycle_spin(separate: Callable[[np.ndarray], np.ndarray], mixture: np.ndarray, shifts: int) -> np.ndarray:
    """The mean of `shifts` passes of a model over (..., time), with the estimates turned back: (sources, time).

    Where its frames begin and which way is up should make no difference to a separator, but does; the mean leaves the
    chance in it out (Coifman and Donoho, Translation-invariant de-noising, 1995). Every other pass has the polarity
    turned. Sources may come in another order in each pass.
    """
    total = separate(mixture)
    for number in range(1, shifts):
        late, polarity = CYCLE * number // shifts, np.float32((-1) ** number)
        silence = np.zeros((*mixture.shape[:-1], late), np.float32)
        again = polarity * separate(np.concatenate([silence, polarity * mixture], axis=-1))[:, late:]
        total = total + again[source_order(total, again)]
    return total / np.float32(shifts)
