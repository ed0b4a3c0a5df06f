"""Several separation models as one: errors that one training learnt, another seldom learnt too."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Self, cast

import torch
from torch import Tensor, nn

from avsep.dsp.assignment import best_assignment
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_whole

MOST_SOURCES = 5
"""All their orders are tried."""


class Ensemble(SeparationModel):
    """The mean of the estimates of its members, in the order of the first one's.

    members: separation models without cues that take and give the same, in any order. One may give more estimates than
    the first: those that go best with the first one's are taken, as one that was trained with up to three voices
    leaves some of its estimates silent where there are two. Where such a member gives voices that take turns the same
    estimate, they leak into each other. Each member is a round of the contract: with fewer rounds, the first ones
    separate alone.
    """

    def __init__(self, members: Sequence[SeparationModel]) -> None:
        super().__init__()
        check_whole(1, 16, members=len(members))
        self.members = nn.ModuleList(members)
        first = members[0].contract
        if first.cues or first.order != "any" or first.sources is None or first.sources > MOST_SOURCES:
            raise ValueError(
                f"a member gives {first.sources} estimates in order {first.order!r}, with cues {first.cues}; it must "
                f"give at most {MOST_SOURCES}, in order 'any', without cues"
            )
        if first.level != "source":
            raise ValueError("a member's estimates have a level of their own, and so no mean; it must be the source's")
        told = [_told(member.contract, first.sources) for member in members]
        if other := next((one for one in told if one != told[0]), None):
            raise ValueError(
                f"members of contracts {told[0]} and {other}; they must be the same, or give more sources than the "
                f"first, at most {MOST_SOURCES}"
            )
        self.contract = replace(
            first,
            stride=math.lcm(*(member.contract.stride for member in members)),
            rounds=len(members),
            refine=False,
        )

    @property
    def _all(self) -> list[SeparationModel]:
        return cast("list[SeparationModel]", list(self.members))

    def compiled_modules(self) -> list[nn.Module]:
        return [part for member in self._all for part in member.compiled_modules()]

    def with_rounds(self, rounds: int) -> Self:
        check_whole(1, len(self.members), rounds=rounds)
        other = copy.copy(self)
        other._modules = self._modules | {"members": self.members[:rounds]}
        other.contract = replace(self.contract, rounds=rounds)
        return other

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        return self._mean([member(mixture).estimates for member in self._all])

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        return self._mean([member.separate(mixture).estimates for member in self._all])

    def _mean(self, found: list[Tensor | None]) -> Output:
        given = [estimates for estimates in found if estimates is not None]
        if len(given) < len(found):
            raise ValueError("a member gives no estimates, of which there would be a mean")
        first, *others = given
        return Output(torch.stack([first, *(in_order_of(first, other) for other in others)]).mean(0))


def _told(contract: Contract, sources: int) -> Contract:
    """What members must have in common. sources: what the first gives, which others may exceed."""
    more = contract.sources is not None and sources < contract.sources <= MOST_SOURCES
    return replace(contract, stride=1, rounds=1, refine=False, sources=sources if more else contract.sources)


def in_order_of(first: Tensor, other: Tensor) -> Tensor:
    """Estimates (batch, sources, channels, time) in the order in which their products with those of `first` are the
    largest; where there are more of them than in `first`, the rest is left out."""
    order = best_assignment(-(other.flatten(2) @ first.flatten(2).mT), MOST_SOURCES)
    return other.take_along_dim(order[:, :, None, None], dim=1)
