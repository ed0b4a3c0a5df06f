"""SDR, SIR, SAR (Vincent et al., BSS Eval, 2006) and ISR (Vincent et al., 2007): a filter of 512 taps on the references
is forgiven."""

from __future__ import annotations

import functools
import importlib.metadata
import runpy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILTER = 512
"""Taps, as in BSS Eval's own defaults."""


def sdr_sir_sar(references: np.ndarray, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(sources, time) each, estimate i belonging to reference i, none of them silent -> three of (sources,) in dB.

    The arithmetic is that of fast_bss_eval (Scheibler, 2022), in double precision. SIR is NaN where there is one
    source only: nothing could interfere.
    """
    import fast_bss_eval

    with _one_thread():
        sdr, sir, sar = fast_bss_eval.bss_eval_sources(
            _double(references), _double(estimates), filter_length=FILTER, compute_permutation=False
        )
    sir = np.full(len(references), np.nan) if len(references) == 1 else sir.numpy()
    return sdr.numpy(), sir, sar.numpy()


def input_sdr(references: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """SDR in dB of the mixture as the estimate of each: (sources, time), (time,) -> (sources,)."""
    import fast_bss_eval

    mixed = np.broadcast_to(mixture, references.shape)
    # A batch of single sources, as SDR asks for the reference alone.
    with _one_thread():
        sdr = fast_bss_eval.sdr(_double(references)[:, None], _double(mixed)[:, None], filter_length=FILTER)
    return sdr[:, 0].numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch 2.11 with MKL fails to solve systems as large as these where the number of threads was ever raised."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def isr(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
    """Image-to-spatial-distortion ratio in dB over the whole signal, by museval (BSS Eval 4): (sources, channels,
    time) each, none silent -> (sources,)."""
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")
        _, ratios, *_ = museval_metrics()["bss_eval"](
            references.swapaxes(1, 2).astype(np.float64),
            estimates.swapaxes(1, 2).astype(np.float64),
            window=np.inf,
            filters_len=FILTER,
        )
    return ratios[:, 0]


@functools.cache
def museval_metrics() -> dict[str, Any]:
    """The names of museval/metrics.py alone: the package around it stops at import where the ffmpeg program is not
    installed, which its measures do not use."""
    return runpy.run_path(str(importlib.metadata.distribution("museval").locate_file("museval/metrics.py")))


def _double(signals: np.ndarray) -> Tensor:
    # Tensors, as fast_bss_eval 0.1.4 solves wrongly shaped systems on arrays of numpy 2.
    return torch.from_numpy(signals.astype(np.float64))
