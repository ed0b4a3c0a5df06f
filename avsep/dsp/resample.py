"""Sample rates: a stream of one-second blocks to another rate without seams and without delay."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from avsep.signals import SAMPLE_RATE, Audio

CONTEXT_SECONDS = 0.1
"""Neighbourhood a block is filtered with; the filters reach a few milliseconds."""


def context_samples(rate: int, other: int = SAMPLE_RATE) -> int:
    """Samples of context at `rate` that are a whole number of samples at the `other` rate too."""
    unit = rate // math.gcd(rate, other)
    return unit * math.ceil(CONTEXT_SECONDS * rate / unit)


def resample(x: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(..., time) float32 at `rate` -> (..., ceil(time * new_rate / rate)) at `new_rate`; linear phase, no delay."""
    if rate == new_rate:
        return x
    from scipy.signal import resample_poly  # takes a second to import

    divisor = math.gcd(rate, new_rate)
    return resample_poly(x, new_rate // divisor, rate // divisor, axis=-1).astype(np.float32, copy=False)


def with_context(blocks: Iterable[Audio], other: int = SAMPLE_RATE) -> Iterator[tuple[Audio, np.ndarray]]:
    """Each block beside itself with context on both sides: (block, (channels, context + time + context)).

    The context is `context_samples` long for a change to the `other` rate; outside the sound it is zeros. Blocks are a
    second long, only the last may be shorter.
    """
    iterator = iter(blocks)
    block = next(iterator, None)
    if block is None:
        return
    context = context_samples(block.sample_rate, other)
    before = np.zeros((block.samples.shape[0], context), np.float32)
    while block is not None:
        following = next(iterator, None)
        after = np.zeros_like(before)
        if following is not None:
            head = following.samples[:, :context]
            after[:, : head.shape[1]] = head
        yield block, np.concatenate([before, block.samples, after], axis=1)
        joined = np.concatenate([before, block.samples], axis=1)
        before, block = joined[:, -context:], following


def resampled_blocks(blocks: Iterable[Audio], new_rate: int) -> Iterator[np.ndarray]:
    """A stream of blocks at another rate: (channels, time) a block."""
    for block, wide in with_context(blocks, new_rate):
        rate = block.sample_rate
        edge = context_samples(rate, new_rate) * new_rate // rate
        size = math.ceil(block.samples.shape[1] * new_rate / rate)
        yield resample(wide, rate, new_rate)[:, edge : edge + size]


def mono_blocks(blocks: Iterable[Audio]) -> Iterator[Audio]:
    """The mean over channels of each block."""
    for block in blocks:
        yield Audio(block.samples.mean(axis=0, keepdims=True), block.sample_rate, block.start_seconds)


def model_blocks(blocks: Iterable[Audio]) -> Iterator[np.ndarray]:
    """The mean over channels at SAMPLE_RATE: (time,) float32 a block."""
    for samples in resampled_blocks(mono_blocks(blocks), SAMPLE_RATE):
        yield samples[0]
