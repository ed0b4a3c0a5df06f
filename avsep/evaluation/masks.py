"""Masks of the short-time spectrum: how well an estimate marks the bins that are its source's, and the estimates that
ideal masks would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from avsep.errors import UsageError
from avsep.evaluation import metrics

if TYPE_CHECKING:
    from avsep.dsp.masks import MaskKind

ORACLES = ("IBM", "IRM", "WFM", "PSM", "binary")
"""Kinds of ideal masks, see avsep.dsp.masks."""
UNPROCESSED = "mixture"
"""The row of what was there before: the mixture as the estimate of every source."""

WINDOW_SECONDS = 0.032
"""Of the transform, the hop being a quarter: 512 and 128 samples at 16 kHz."""

AUDIBLE_DB = 40.0
"""Bins of the mixture this far below its loudest are left out of precision and recall, as in Deep Clustering (Hershey
et al., 2016): nobody's."""


def parse_oracles(text: str) -> tuple[str, ...]:
    """ "irm,psm", "all" -> kinds in their order. Raises UsageError for another name."""
    allowed = (UNPROCESSED, *ORACLES)
    if text == "all":
        return allowed
    wanted = {name.strip().lower() for name in text.split(",") if name.strip()}
    for name in sorted(wanted - {kind.lower() for kind in allowed}):
        raise UsageError(f"oracle is {name!r}; allowed are {', '.join(allowed)}, or all")
    return tuple(kind for kind in allowed if kind.lower() in wanted)


def oracle(kind: str, references: np.ndarray, mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    """What an ideal mask of `kind` makes of the mixture: (sources, time), (time,) -> (sources, time) float32."""
    if kind == UNPROCESSED:
        return np.broadcast_to(mixture, references.shape)
    import torch

    from avsep.dsp.masks import oracle_estimates

    window, hop = _sizes(sample_rate)
    sources, mixed = (torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (references, mixture))
    return oracle_estimates(cast("MaskKind", kind), sources, mixed, window, hop).numpy()


def mask_precision_recall(
    estimate: np.ndarray, reference: np.ndarray, mixture: np.ndarray, sample_rate: int, threshold_db: float = 0.0
) -> tuple[float, float]:
    """Precision and recall of the estimate's binary mask against the ideal one: (time,) each -> two shares in 0..1.

    A bin is a signal's where it is louder than the rest of the mixture by more than `threshold_db` (Wang, 2005: the
    local criterion). The estimate is first brought to the level that fits the mixture best, so that its gain changes
    nothing. Bins AUDIBLE_DB below the mixture's loudest are not counted.
    """
    energy = float(np.square(estimate, dtype=np.float64).sum())
    scale = float((mixture.astype(np.float64) * estimate).sum()) / energy if energy else 0.0
    present, wanted, got = np.abs(x := _spectra(np.stack([mixture, reference, scale * estimate]), sample_rate))
    audible = present > present.max() * 10 ** (-AUDIBLE_DB / 20)
    factor = 10 ** (threshold_db / 20)
    ideal = wanted > np.abs(x[0] - x[1]) * factor
    marked = got > np.abs(x[0] - x[2]) * factor
    return metrics.precision_recall(marked[audible], ideal[audible])


def spectrogram_db(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    """Magnitudes in dB: (time,) -> (freq, frames)."""
    return 20 * np.log10(np.abs(_spectra(signal[None], sample_rate)[0]) + 1e-9)


def _spectra(signals: np.ndarray, sample_rate: int) -> np.ndarray:
    import torch

    from avsep.dsp.stft import stft

    return stft(torch.from_numpy(np.ascontiguousarray(signals, np.float32)), *_sizes(sample_rate)).numpy()


def _sizes(sample_rate: int) -> tuple[int, int]:
    """Window and hop in samples; the window is a multiple of four."""
    hop = max(1, round(WINDOW_SECONDS * sample_rate / 4))
    return 4 * hop, hop
