"""Layers of a temporal convolutional network: (batch, channels, frames) in, the same shape out.

PyTorch's own PReLU and dilated depth-wise convolution spend more time on a CPU than the 1x1 convolutions around them,
most of it going backward. Here both are the same arithmetic in few passes over memory, backward as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-8


class GlobalLayerNorm(nn.GroupNorm):
    """gLN: over channels and time together (Conv-TasNet, eq. 9), not causal."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, eps=EPS)


class CumulativeLayerNorm(nn.Module):
    """cLN: over channels and all frames up to the present one (Conv-TasNet, eq. 13), causal."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        frame = x.float()
        total, power = self.sums(frame)
        return self.normalise(frame, total.cumsum(-1), power.cumsum(-1), before=0).to(x.dtype)

    @staticmethod
    def sums(frame: Tensor) -> tuple[Tensor, Tensor]:
        """A frame's sum and sum of squares over the channels: (batch, frames) each."""
        return frame.sum(1), frame.square().sum(1)

    def normalise(self, frame: Tensor, total: Tensor, power: Tensor, before: int) -> Tensor:
        """By the sums up to each frame, `total` and `power`; `before` frames went by earlier."""
        count = (
            torch.arange(1, frame.shape[-1] + 1, device=frame.device, dtype=total.dtype).add(before) * frame.shape[1]
        )
        mean, square = total / count, power / count
        scale = (square - mean.square()).clamp_min(0).add(EPS).rsqrt()
        normal = (frame - mean.to(frame.dtype).unsqueeze(1)) * scale.to(frame.dtype).unsqueeze(1)
        return torch.addcmul(self.bias, normal, self.weight)


NORMS = {"gLN": GlobalLayerNorm, "cLN": CumulativeLayerNorm}


class PReLU(nn.PReLU):
    """PReLU with one slope."""

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, x: Tensor) -> Tensor:
        return _PReLU.apply(x, self.weight)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        (grad,) = grads
        positive = torch.ops.aten.threshold_backward(grad, x, 0)
        # The slope's gradient is the sum of grad * x where x is negative: all of it less the positive part.
        flat, all_grad, positive_grad = (t.flatten().to(slope.dtype) for t in (x, grad, positive))
        slope_grad = torch.dot(all_grad, flat) - torch.dot(positive_grad, flat)
        return positive.lerp_(grad, slope.to(x.dtype)), slope_grad.view(1)


class DepthwiseConv(nn.Module):
    """Depth-wise dilated convolution, padded with zeros to the same number of frames.

    kernel: P, odd unless causal. offsets: which frames around t give frame t, one for each tap.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, causal: bool) -> None:
        super().__init__()
        if kernel % 2 == 0 and not causal:
            raise ValueError(f"kernel {kernel} must be odd unless the convolution is causal")
        past = (kernel - 1) * dilation // (1 if causal else 2)
        self.offsets = tuple(tap * dilation - past for tap in range(kernel))
        self.weight = nn.Parameter(torch.empty(kernel, channels, 1).uniform_(-1, 1) / kernel**0.5)
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return _Depthwise.apply(x, self.weight, self.bias, self.offsets)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, offsets: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.offsets = offsets
        return _sum_of_taps(x, weight.to(x.dtype), bias.to(x.dtype), offsets)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        zero = grad.new_zeros(())
        x_grad = _sum_of_taps(grad, weight.to(grad.dtype), zero, [-offset for offset in ctx.offsets])
        products = (torch.mul(*_overlap(grad, x, offset)) for offset in ctx.offsets)
        weight_grad = torch.stack([p.sum((0, 2), dtype=weight.dtype) for p in products]).unsqueeze(2)
        return x_grad, weight_grad, grad.sum((0, 2), dtype=weight.dtype).unsqueeze(1), None


def _sum_of_taps(x: Tensor, weight: Tensor, bias: Tensor, offsets: Sequence[int]) -> Tensor:
    """y[t] = bias + sum of weight[tap] * x[t + offsets[tap]]; one of the offsets is 0."""
    y = torch.addcmul(bias, x, weight[offsets.index(0)])
    for tap, offset in zip(weight, offsets, strict=True):
        if offset:
            there, here = _overlap(y, x, offset)
            there.addcmul_(here, tap)
    return y


def _overlap(y: Tensor, x: Tensor, offset: int) -> tuple[Tensor, Tensor]:
    """The frames t of y and t + offset of x that both exist."""
    return (y[..., :-offset], x[..., offset:]) if offset > 0 else (y[..., -offset:], x[..., : offset or None])
