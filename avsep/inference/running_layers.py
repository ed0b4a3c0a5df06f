"""Layers that look back in time, each with a memory of its own: a network is fed piece by piece.

Pieces of a live stream are a few frames long. What such a piece costs is the number of calls, not the arithmetic, and a
call of NumPy costs a third of one of PyTorch: with it a stream takes a quarter of the time. Weights are shared with
the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avsep.models.parts.causal_stft import CumulativeLevel
from avsep.models.parts.layers import CumulativeLayerNorm, DepthwiseConv, PointwiseConv, PReLU

Layer = Callable[[np.ndarray], np.ndarray]
"""(batch, frames, channels) -> (batch, frames, channels or others), both float32."""


def with_memory(module: nn.Module) -> nn.Module:
    """Swap, in place, every layer of `module` that looks back for one that remembers, and the layers around it for the
    same arithmetic in fewer calls; all others work frame by frame."""
    for name, child in module.named_children():
        if type(child) in RUNNING:
            setattr(module, name, RunningLayers(child))
        elif isinstance(child, nn.Sequential) and all(type(layer) in RUNNING for layer in child):
            setattr(module, name, RunningLayers(*child))
        else:
            with_memory(child)
    return module


class RunningLayers(nn.Module):
    """Layers one after the other, on the processor."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers: list[Layer] = [RUNNING[type(layer)](layer) for layer in layers]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, frames, channels of the last)."""
        y = x.cpu().numpy()
        for layer in self.layers:
            y = layer(y)
        return torch.from_numpy(y).to(x.device)


class RunningNorm:
    """A cumulative norm that remembers its sums. They are kept in double precision, for streams of hours."""

    def __init__(self, norm: CumulativeLayerNorm) -> None:
        self.weight, self.bias, self.eps = _array(norm.weight), _array(norm.bias), norm.eps
        self.sums = np.zeros((2, 1, 1))
        self.count = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        batch, frames, channels = x.shape
        sums = np.empty((2, batch, frames))
        np.add.reduce(x, axis=2, out=sums[0])
        np.einsum("btc,btc->bt", x, x, out=sums[1], casting="same_kind")
        sums = np.add.accumulate(sums, axis=2) + self.sums
        self.sums = sums[:, :, -1:]
        mean, square = sums / (np.arange(self.count + 1, self.count + frames + 1) * channels)
        self.count += frames
        scale = 1 / np.sqrt(np.maximum(square - mean * mean, 0) + self.eps)
        normal = x * scale[..., None].astype(np.float32)
        normal -= (mean * scale)[..., None].astype(np.float32)
        normal *= self.weight
        normal += self.bias
        return normal


class RunningLevel:
    """A cumulative level that remembers its sum, in double precision."""

    def __init__(self, level: CumulativeLevel) -> None:
        self.sum = np.zeros((1, 1, 1))
        self.count = 0

    def __call__(self, x: np.ndarray) -> np.ndarray:
        frames = x.shape[1]
        sums = np.add.accumulate(x, axis=1, dtype=np.float64) + self.sum
        self.sum = sums[:, -1:]
        counts = np.arange(self.count + 1, self.count + frames + 1)
        self.count += frames
        return np.sqrt(sums / counts[:, None]).astype(np.float32)


class RunningConv:
    """A causal convolution that remembers the frames it reaches back to."""

    def __init__(self, conv: DepthwiseConv) -> None:
        self.weight, self.bias = _array(conv.weight), _array(conv.bias)
        self.reach = -min(conv.offsets)
        self.starts = [self.reach + offset for offset in conv.offsets]
        self.past: np.ndarray | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        batch, frames, channels = x.shape
        past = np.zeros((batch, self.reach, channels), x.dtype) if self.past is None else self.past
        joined = np.concatenate([past, x], axis=1)
        self.past = joined[:, frames:]
        y = joined[:, self.starts[0] : self.starts[0] + frames] * self.weight[0]
        for tap, start in zip(self.weight[1:], self.starts[1:], strict=True):
            y += joined[:, start : start + frames] * tap
        y += self.bias
        return y


class Pointwise:
    """A matrix for every frame."""

    def __init__(self, conv: PointwiseConv) -> None:
        self.matrix = _array(conv.weight).T
        self.bias = None if conv.bias is None else _array(conv.bias)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = x @ self.matrix
        if self.bias is not None:
            y += self.bias
        return y


class Rectifier:
    """A PReLU."""

    def __init__(self, prelu: PReLU) -> None:
        self.slope = _array(prelu.weight)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0) + self.slope * np.minimum(x, 0)


RUNNING: dict[type[nn.Module], Callable[[Any], Layer]] = {
    CumulativeLayerNorm: RunningNorm,
    CumulativeLevel: RunningLevel,
    DepthwiseConv: RunningConv,
    PointwiseConv: Pointwise,
    PReLU: Rectifier,
}


def _array(parameter: Tensor) -> np.ndarray:
    return parameter.detach().cpu().numpy()
