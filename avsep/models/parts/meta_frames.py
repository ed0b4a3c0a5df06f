"""Meta-frames: the frames around each frame of a spectrum as one, and how masks of them are put together again."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision

MOST_SOURCES = 6
"""Whose orders are all tried at every frame: 720."""


def meta_frames(spectrum: Tensor, span: int) -> Tensor:
    """(..., freq, frames) -> (..., freq * span, frames): row f * span + n of a frame is bin f of the frame that lies
    n - span // 2 frames behind it. Beyond the ends there is silence; span is odd."""
    padded = functional.pad(spectrum, (span // 2, span // 2))
    return padded.unfold(-1, span, 1).movedim(-1, -2).flatten(-3, -2)


def overlap_mean(masks: Tensor, span: int) -> Tensor:
    """Masks of meta-frames (batch, sources, freq * span, frames) -> (batch, sources, freq, frames), the mean of those
    that a frame has in all meta-frames that it is in."""
    frames = masks.shape[3]

    def added(rows: Tensor) -> Tensor:
        whole = functional.fold(rows, (1, frames + span - 1), (1, span))[:, :, 0]
        return whole[..., span // 2 : span // 2 + frames]

    flat = full_precision(masks).flatten(0, 1)
    return (added(flat) / added(flat.new_ones(1, span, frames))).unflatten(0, masks.shape[:2])


def traced(masks: Tensor, spectrum: Tensor, span: int) -> Tensor:
    """Masks of meta-frames (batch, sources, freq * span, frames) with the sources of every meta-frame in the order of
    the first, given the mixture's meta-frames (batch, freq * span, frames).

    A source is followed from one meta-frame to the next by what both estimate of the frames that they share: in the
    order of least square difference of the masked magnitudes (Yu et al., 2017). Where they share none, with a span of
    1, neighbouring frames themselves are compared. Up to MOST_SOURCES sources.
    """
    order = _order(full_precision(masks), full_precision(spectrum).abs(), span)
    return masks.gather(1, order.movedim(1, 2).unsqueeze(2).expand_as(masks))


@torch.no_grad()
def _order(masks: Tensor, size: Tensor, span: int) -> Tensor:
    """(batch, frames, sources) int64: which source of a meta-frame continues each source of the first one."""
    masked = (masks * size.unsqueeze(1)).unflatten(2, (-1, span))
    shared = slice(1, None) if span > 1 else slice(None)
    before = masked[:, :, :, shared, :-1].flatten(2, 3)
    after = masked[:, :, :, : span - 1 or None, 1:].flatten(2, 3)
    # |a - b|², but for what is the same for all orders.
    costs = -torch.einsum("bift,bjft->btij", after, before)
    batch, steps, count, _ = costs.shape
    every = torch.tensor(list(itertools.permutations(range(count))), device=masks.device)
    same = every[0]
    step = every[costs[:, :, every, same].sum(3).argmin(2)]
    order = torch.cat([same.expand(batch, 1, count), step], 1)
    # All steps up to a frame, one after the other, by doubling how many are taken together.
    reach = 1
    while reach <= steps:
        order = torch.cat([order[:, :reach], order[:, reach:].gather(2, order[:, :-reach])], 1)
        reach *= 2
    return order
