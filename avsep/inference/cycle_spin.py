"""Cycle spinning: a model separates a mixture several times, each time a little later, and the mean is taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from avsep.inference.stitch import source_order


def cycle_spin(
    separate: Callable[[np.ndarray], np.ndarray], mixture: np.ndarray, passes: int, stride: int, reorder: bool
) -> np.ndarray:
    """The mean of `passes` passes of a model over (channels, time), with the estimates turned back: (sources, channels,
    time).

    Where its frames begin and which way is up should make no difference to a separator, but does; the mean leaves the
    chance in it out (Coifman and Donoho, Translation-invariant de-noising, 1995). The passes are spread over `stride`
    samples, after which the frames lie on the signal as before; every other one has the polarity turned. reorder:
    sources may come in another order in each pass. A pass in which the model finds another number of sources than in
    the first is left out.
    """
    total, counted = separate(mixture), 1
    for number in range(1, passes):
        late, polarity = stride * number // passes, np.float32((-1) ** number)
        silence = np.zeros((*mixture.shape[:-1], late), np.float32)
        again = polarity * separate(np.concatenate([silence, polarity * mixture], axis=-1))[..., late:]
        if len(again) == len(total):
            total = total + (again[source_order(total, again)] if reorder else again)
            counted += 1
    return total / np.float32(counted)
