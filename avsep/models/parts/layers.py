"""Layers of a temporal convolutional network: (batch, frames, channels) in, (batch, frames, channels) out.

Channels lie side by side in memory because that is what a processor's matrix kernels want: PyTorch's Conv1d on
(batch, channels, frames) reorders its input on a CPU and takes up to five times as long. PyTorch's own PReLU, group
norm and dilated depth-wise convolution take longer than the matrix products between them, most of it going backward;
here they are the same arithmetic in few passes over memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-8


class PointwiseConv(nn.Linear):
    """1x1 convolution: the same matrix for every frame."""

    def forward(self, x: Tensor) -> Tensor:
        # As an image of one row whose channels come last: oneDNN's convolutions beat nn.Linear's matrix product, which
        # knows no AVX-512 on AMD. The dilation, which a 1x1 kernel has no use for, keeps PyTorch from leaving oneDNN
        # where there is one thread only.
        image = x.transpose(1, 2).unsqueeze(2)
        dilation = 2 if x.device.type == "cpu" else 1
        return F.conv2d(image, self.weight[..., None, None], self.bias, dilation=dilation).squeeze(2).transpose(1, 2)


class GlobalLayerNorm(nn.Module):
    """gLN: over channels and time together (Conv-TasNet, eq. 9), not causal."""

    over: tuple[int, ...] = (1, 2)
    """Dimensions that share one mean and one deviation."""

    def __init__(self, channels: int, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return _Norm.apply(x, self.weight, self.bias, self.over, self.eps)


class InstanceNorm(GlobalLayerNorm):
    """Feature-wise: each channel over time alone (TDCN++; Kavalerov et al., 2019), not causal."""

    over = (1,)


class _Norm(torch.autograd.Function):
    """What hangs on an item is (batch, 1, 1), or (batch, 1, channels) where each channel has a mean of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, over: tuple[int, ...], eps: float) -> Tensor:
        # Written out: a product over a generator would part a compiled graph.
        count = x.shape[1] * (x.shape[2] if 2 in over else 1)
        mean = x.sum(over, keepdim=True, dtype=weight.dtype) / count
        power = torch.linalg.vector_norm(x, dim=over, keepdim=True, dtype=weight.dtype).square() / count
        scale = (power - mean.square()).clamp_min(0).add(eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.over, ctx.count = over, count
        gain = scale * weight
        shift = bias - mean * gain
        return torch.addcmul(shift.to(x.dtype), x, gain.to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        (grad,) = grads

        def shared(per_channel: Tensor) -> Tensor:
            return per_channel.sum(2, keepdim=True) if 2 in ctx.over else per_channel

        grad_sum = grad.sum(1, keepdim=True, dtype=weight.dtype)
        # Sum over the frames of the gradient times the normalised input, for each channel.
        along = ((grad * x).sum(1, keepdim=True, dtype=weight.dtype) - mean * grad_sum) * scale
        slope = -(shared(along * weight) / ctx.count) * scale.square()
        level = -(shared(grad_sum * weight) / ctx.count) * scale - slope * mean
        x_grad = torch.addcmul(level.to(x.dtype), x, slope.to(x.dtype))
        x_grad.addcmul_(grad, (scale * weight).to(x.dtype))
        return x_grad, along.sum((0, 1)), grad_sum.sum((0, 1)), None, None


class CumulativeLayerNorm(nn.Module):
    """cLN: over channels and all frames up to the present one (Conv-TasNet, eq. 13), causal."""

    def __init__(self, channels: int, eps: float = EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        frame = x.float()
        total, power = self.sums(frame)
        return self.normalise(frame, total.cumsum(-1), power.cumsum(-1), before=0).to(x.dtype)

    @staticmethod
    def sums(frame: Tensor) -> tuple[Tensor, Tensor]:
        """A frame's sum and sum of squares over the channels: (batch, frames) each."""
        return frame.sum(2), frame.square().sum(2)

    def normalise(self, frame: Tensor, total: Tensor, power: Tensor, before: int) -> Tensor:
        """By the sums up to each frame, `total` and `power`; `before` frames went by earlier."""
        count = torch.arange(1, frame.shape[1] + 1, device=frame.device, dtype=total.dtype).add(before) * frame.shape[2]
        mean, square = total / count, power / count
        scale = (square - mean.square()).clamp_min(0).add(self.eps).rsqrt()
        normal = (frame - mean.to(frame.dtype).unsqueeze(2)) * scale.to(frame.dtype).unsqueeze(2)
        return torch.addcmul(self.bias, normal, self.weight)


class ChannelLayerNorm(nn.LayerNorm):
    """Over the channels of each frame by itself, causal."""

    def __init__(self, channels: int, eps: float = EPS) -> None:
        super().__init__(channels, eps=eps)


NORMS = {"gLN": GlobalLayerNorm, "cLN": CumulativeLayerNorm, "channel": ChannelLayerNorm}


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
        self.offsets = range(-past, kernel * dilation - past, dilation)
        self.weight = nn.Parameter(torch.empty(kernel, channels).uniform_(-1, 1) / kernel**0.5)
        self.bias = nn.Parameter(torch.zeros(channels))

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
        weight_grad = torch.stack([p.sum((0, 1), dtype=weight.dtype) for p in products])
        return x_grad, weight_grad, grad.sum((0, 1), dtype=weight.dtype), None


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
    return (y[:, :-offset], x[:, offset:]) if offset > 0 else (y[:, -offset:], x[:, : offset or None])
