"""The temporal convolutional network of Conv-TasNet (Luo and Mesgarani, 2019, section II-B, figure 1).

Letters of the paper: N encoder filters, B bottleneck, H hidden, Sc skip channels, P kernel, X blocks a repeat, R
repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args

from torch import Tensor, nn

from avsep.models.base import Part, copy_fitting
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import EPS, NORMS, DepthwiseConv, PointwiseConv, PReLU

Masks = Literal["sigmoid", "softmax", "relu"]
Ending = Literal["prelu_norm", "norm_prelu", "none"]


def conv_body(
    channels: int,
    hidden: int,
    kernel: int,
    dilation: int,
    norm: Callable[[int], nn.Module],
    causal: bool = False,
    ending: Ending = "prelu_norm",
) -> nn.Sequential:
    """What a block computes before its outputs: (batch, frames, channels) -> (batch, frames, hidden).

    ending: what follows the depth-wise convolution.
    """
    layers = [PointwiseConv(channels, hidden), PReLU(), norm(hidden), DepthwiseConv(hidden, kernel, dilation, causal)]
    if ending == "prelu_norm":
        layers += [PReLU(), norm(hidden)]
    elif ending == "norm_prelu":
        layers += [norm(hidden), PReLU()]
    return nn.Sequential(*layers)


class ConvBlock(nn.Module):
    """1x1 convolution, PReLU, norm, depth-wise convolution, PReLU, norm, then a residual and a skip output (figure 1C).

    With skip=0 there is no skip path and the residual alone goes on. eps, ending: see `TemporalConvNet`.
    """

    def __init__(
        self,
        bottleneck: int,
        hidden: int,
        skip: int,
        kernel: int,
        dilation: int,
        norm: str,
        causal: bool,
        eps: float = EPS,
        ending: Ending = "prelu_norm",
    ) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.body = conv_body(bottleneck, hidden, kernel, dilation, partial(NORMS[norm], eps=eps), causal, ending)
        # One convolution for both outputs: one pass over memory instead of two.
        self.out = PointwiseConv(hidden, bottleneck + skip)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, bottleneck) -> residual output of that shape, (batch, frames, skip)."""
        residual, skip = self.out(self.body(x)).tensor_split([self.bottleneck], dim=2)
        return x + residual, skip


class Repeat(nn.Module):
    """X blocks with dilations 1, 2, 4, ..., 2^(X-1), which `block` makes of a dilation."""

    def __init__(self, block: Callable[[int], nn.Module], blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block(2**i) for i in range(blocks))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, frames, bottleneck) -> the same shape, and the sum of the skips (batch, frames, skip)."""
        skips: Tensor | float = 0.0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        assert isinstance(skips, Tensor)
        return x, skips


class TemporalConvNet(Part):
    """Encoder frames to masks. `before` and `after` split the repeats at the point of fusion, so that
    what the sound alone tells is computed once, and only what comes after the fusion again for each cue.

    norm: "gLN", "cLN" or "channel"; causal: no look into the future (use with one of the latter). masks: each in 0..1
    by a "sigmoid", of 0 or more by a "relu", or a "softmax" over the sources, which then sum to 1. Sizes: letters of
    the paper in this file's head.

    Implementations differ in the norm of the encoder's frames (enter_norm; "" for that of the blocks), in what norms
    add to a variance (eps), and in what follows a block's depth-wise convolution (ending: "prelu_norm" as in the paper,
    "norm_prelu" or "none").
    """

    def __init__(
        self,
        filters: int,
        bottleneck: int,
        hidden: int,
        skip: int,
        kernel: int,
        blocks: int,
        repeats: int,
        sources: int,
        norm: str = "gLN",
        causal: bool = False,
        fuse_after: int = 0,
        masks: Masks = "sigmoid",
        enter_norm: str = "",
        eps: float = EPS,
        ending: Ending = "prelu_norm",
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; it must be one of {sorted(NORMS)}")
        if enter_norm and enter_norm not in NORMS:
            raise ValueError(f"enter_norm is {enter_norm!r}; it must be one of {sorted(NORMS)}, or empty")
        if not 0 < eps <= 1:
            raise ValueError(f"eps is {eps}; it must be above 0 and at most 1")
        if ending not in get_args(Ending):
            raise ValueError(f"ending is {ending!r}; it must be one of {', '.join(get_args(Ending))}")
        if masks not in get_args(Masks):
            raise ValueError(f"masks is {masks!r}; it must be one of {', '.join(get_args(Masks))}")
        check_whole(1, MOST_SIZE, filters=filters, bottleneck=bottleneck, hidden=hidden)
        check_whole(0, MOST_SIZE, skip=skip)
        check_whole(1, 16, blocks=blocks)
        # The last block then reaches over at most 2^16 frames.
        check_whole(1, 2 ** (17 - blocks), kernel=kernel)
        if not 0 <= fuse_after < repeats:
            raise ValueError(f"fuse_after is {fuse_after}; it must be 0 to repeats - 1 = {repeats - 1}")
        self.filters, self.sources, self.has_skip = filters, sources, skip > 0
        # Frames that one mask depends on, but for what a norm brings from further away.
        self.receptive_field = 1 + repeats * (kernel - 1) * (2**blocks - 1)
        self.enter = nn.Sequential(NORMS[enter_norm or norm](filters, eps), PointwiseConv(filters, bottleneck))
        self.variant: dict[str, Any] = {"eps": eps, "ending": ending}

        def block(dilation: int) -> nn.Module:
            return self.block(bottleneck, hidden, skip, kernel, dilation, norm, causal)

        stack = [Repeat(block, blocks) for _ in range(repeats)]
        self.repeats_before = nn.ModuleList(stack[:fuse_after])
        self.repeats_after = nn.ModuleList(stack[fuse_after:])
        self.sums_to_one = masks == "softmax"
        head = [PReLU(), PointwiseConv(skip or bottleneck, sources * filters)]
        ends: dict[str, list[nn.Module]] = {"sigmoid": [nn.Sigmoid()], "relu": [nn.ReLU()], "softmax": []}
        self.to_masks = nn.Sequential(*head, *ends[masks])

    def block(self, *sizes: Any) -> nn.Module:
        """One of the blocks, of the sizes, norm and causality of a `ConvBlock`."""
        return ConvBlock(*sizes, **self.variant)

    def before(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder frames (batch, frames, filters) -> features (batch, frames, bottleneck), skips so far."""
        x = self.enter(frames)
        return self._run(self.repeats_before, x, x.new_zeros(()))

    def after(self, x: Tensor, skips: Tensor) -> Tensor:
        """Features and skips -> masks (batch, sources, frames, filters)."""
        x, skips = self._run(self.repeats_after, x, skips)
        masks = self.to_masks(skips if self.has_skip else x)
        masks = masks.unflatten(2, (self.sources, self.filters)).transpose(1, 2)
        return masks.softmax(1) if self.sums_to_one else masks

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, frames, filters) -> masks (batch, sources, frames, filters)."""
        return self.after(*self.before(frames))

    def warm_start(self, trained: nn.Module) -> list[str]:
        """Repeats are counted through, wherever the cues join; of masks for more or fewer sources, those of the first
        are taken."""
        places = {_counted(self, name): name for name in self.state_dict()}
        learnt = {places.get(_counted(trained, name), ""): tensor for name, tensor in trained.state_dict().items()}
        return copy_fitting(self, learnt, rows="to_masks.")

    @staticmethod
    def _run(repeats: nn.ModuleList, x: Tensor, skips: Tensor) -> tuple[Tensor, Tensor]:
        for repeat in repeats:
            x, skip = repeat(x)
            skips = skips + skip
        return x, skips


def _counted(net: nn.Module, name: str) -> str:
    """The name of a tensor with the repeats counted through: repeats_before.N, repeats_after.N -> repeats.N."""
    place, _, rest = name.partition(".")
    if place not in ("repeats_before", "repeats_after"):
        return name
    number, _, rest = rest.partition(".")
    before = len(net.get_submodule("repeats_before")) if place == "repeats_after" else 0  # type: ignore[arg-type]
    return f"repeats.{int(number) + before}.{rest}"
