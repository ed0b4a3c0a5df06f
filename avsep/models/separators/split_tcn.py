"""A temporal convolutional network whose streams part early: one for the mixture, then one for each source.

The first stack of blocks sees the mixture alone. A 1x1 convolution then gives each source a stream of its own, and a
second stack with the same weights for all of them separates: each stream is refined beside the others, from which
it takes what they have (`Exchange`). Streams that share weights and look at each other are what SepReformer does with
transformers (Shin et al., 2024); here they are the convolutional blocks of Conv-TasNet (Luo and Mesgarani, 2019), over
the bins of an STFT. Masks are complex, a gate times a turn: sigmoid(g) (1 + r + ji).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from avsep.models.base import Part, copy_fitting
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.layers import NORMS, DepthwiseConv, PointwiseConv, PReLU
from avsep.models.separators.conv_tasnet import ConvBlock


class Exchange(nn.Module):
    """What the other streams have is added to each: x + PReLU(W norm(x) + V mean of the others' norm(x))."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.norm = NORMS[norm](channels)
        self.own, self.others = PointwiseConv(channels, channels), PointwiseConv(channels, channels)
        self.act = PReLU()

    def forward(self, x: Tensor, sources: int) -> Tensor:
        """(batch * sources, frames, channels) -> the same shape."""
        normal = self.norm(x)
        streams = normal.unflatten(0, (-1, sources))
        others = ((streams.sum(1, keepdim=True) - streams) / max(1, sources - 1)).flatten(0, 1)
        return x + self.act(self.own(normal) + self.others(others))


class Stack(nn.Module):
    """Blocks with dilations 1, 2, 4, ..., `repeats` times over, and before every `every`th of a repeat an exchange
    between the streams."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel: int,
        blocks: int,
        repeats: int,
        norm: str,
        causal: bool,
        every: int = 0,
    ) -> None:
        super().__init__()
        places = [n for n in range(repeats * blocks) if every and n % blocks % every == 0]
        self.blocks = nn.ModuleList(
            ConvBlock(channels, hidden, 0, kernel, 2 ** (n % blocks), norm, causal) for n in range(repeats * blocks)
        )
        self.exchanges = nn.ModuleDict({str(n): Exchange(channels, norm) for n in places})

    def pass_on(self, first: int) -> None:
        """Let the blocks and exchanges from `first` on give what they are given, until they have learnt more."""
        for name, tensor in self.named_parameters():
            _, number, layer = name.split(".", 2)
            if int(number) >= first and layer.startswith(("out.", "own.", "others.")):
                nn.init.zeros_(tensor)

    def forward(self, x: Tensor, sources: int = 1) -> Tensor:
        """(batch * sources, frames, channels) -> the same shape."""
        for number, block in enumerate(self.blocks):
            if str(number) in self.exchanges:
                x = self.exchanges[str(number)](x, sources)
            x, _ = block(x)
        return x


class SplitTCN(Part):
    """Features of a spectrum, those of `CompressedStftEncoder`, to complex masks.

    freq: bins of a mask; channels and hidden: B and H of Conv-TasNet; kernel, blocks, repeats: P, X and R, of each of
    the two stacks; rounds: how often the second is run through, with the same weights. front: what makes tokens
    (batch, bands, frames, channels) of the features, which then go in beside them, for instance `BandBlocks`.
    """

    def __init__(
        self,
        freq: int,
        channels: int,
        hidden: int,
        kernel: int,
        blocks: int,
        sources: int,
        rounds: int = 1,
        exchange_every: int = 4,
        norm: str = "gLN",
        causal: bool = False,
        front: Any = None,
        repeats: int = 1,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; it must be one of {sorted(NORMS)}")
        check_whole(1, MOST_SIZE, freq=freq, channels=channels, hidden=hidden)
        check_whole(1, 64, sources=sources)
        check_whole(1, 16, blocks=blocks, exchange_every=exchange_every, rounds=rounds, repeats=repeats)
        check_whole(1, 2 ** (17 - blocks), kernel=kernel)
        self.sources, self.freq, self.rounds = sources, freq, rounds
        self.front = front
        features = 3 * freq + (0 if front is None else front.features)
        self.enter = nn.Sequential(PointwiseConv(features, channels), NORMS[norm](channels))
        self.mixed = Stack(channels, hidden, kernel, blocks, repeats, norm, causal)
        self.split = nn.Sequential(PReLU(), PointwiseConv(channels, sources * channels))
        self.parted = Stack(channels, hidden, kernel, blocks, repeats, norm, causal, exchange_every)
        last = PointwiseConv(channels, 3 * freq)
        with torch.no_grad():
            # Without a turn at first: gates alone are learnt sooner.
            last.weight[freq:] = 0
            last.bias[freq:] = 0
        self.to_masks = nn.Sequential(NORMS[norm](channels), PReLU(), last)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, 3 * freq) -> complex masks (batch, sources, frames, freq)."""
        *_, last = self.streams(features)
        return self.masks(last, self.sources)

    def every_round(self, features: Tensor) -> list[Tensor]:
        """The masks after each round, those of `forward` last."""
        return [self.masks(x, self.sources) for x in self.streams(features)]

    def with_rounds(self, rounds: int) -> SplitTCN:
        """The same layers with another number of rounds."""
        check_whole(1, 16, rounds=rounds)
        other = copy.copy(self)
        other.rounds = rounds
        return other

    def warm_start(self, trained: nn.Module) -> list[str]:
        """Of a network with more or fewer streams, the first ones are taken; of one that sees what comes later, for one
        that does not, what its convolutions take from past frames. What a smaller one has not, repeats and tokens of a
        front, changes nothing at first (Chen et al., Net2Net, 2016)."""
        learnt = trained.state_dict() | _moved_taps(self, trained)
        taken = copy_fitting(self, learnt, rows="split.")
        if isinstance(trained, SplitTCN):
            self.mixed.pass_on(len(trained.mixed.blocks))
            self.parted.pass_on(len(trained.parted.blocks))
        mine, theirs = self.state_dict()["enter.0.weight"], learnt.get("enter.0.weight")
        if theirs is not None and len(theirs) == len(mine) and theirs.shape[1] == 3 * self.freq < mine.shape[1]:
            mine.zero_()[:, : 3 * self.freq] = theirs
            taken.append("enter.0.weight")
        return taken

    def streams(self, features: Tensor) -> Iterator[Tensor]:
        """Features -> (batch * sources, frames, channels) after each round."""
        if self.front is not None:
            tokens = self.front(features).transpose(1, 2).flatten(2)
            features = torch.cat([features, tokens], 2)
        x = self.split(self.mixed(self.enter(features)))
        x = x.unflatten(2, (self.sources, -1)).transpose(1, 2).flatten(0, 1)
        for _ in range(self.rounds):
            x = self.parted(x, self.sources)
            yield x

    def masks(self, x: Tensor, sources: int) -> Tensor:
        """Streams -> complex masks (batch, sources, frames, freq)."""
        parts = self.to_masks(x).float().unflatten(2, (3, self.freq)).unflatten(0, (-1, sources))
        gate, real, imag = parts.unbind(3)
        return torch.sigmoid(gate) * torch.complex(1 + real, imag)


def _moved_taps(net: nn.Module, trained: nn.Module) -> dict[str, Tensor]:
    """Weights of the depth-wise convolutions of `trained`, each at the frames where that of `net` has a tap."""
    theirs = dict(trained.named_modules())
    moved = {}
    for name, conv in net.named_modules():
        old = theirs.get(name)
        if isinstance(conv, DepthwiseConv) and isinstance(old, DepthwiseConv) and old.offsets != conv.offsets:
            nothing = torch.zeros_like(old.weight[0])
            taps = dict(zip(old.offsets, old.weight.detach(), strict=True))
            moved[f"{name}.weight"] = torch.stack([taps.get(offset, nothing) for offset in conv.offsets])
    return moved
