"""Which estimate is held against which source: in the order given, or in the best one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.assignment import EXHAUSTIVE_TO, best_assignment
from avsep.losses.pairwise import NegativeSnr, PairwiseLoss


def check_shapes(estimates: Tensor, sources: Tensor, mixture: Tensor) -> None:
    """ValueError unless (batch, estimates, time), (batch, sources, time) and (batch, time) fit together."""
    batch, _, time = sources.shape if sources.dim() == 3 else (None, None, None)
    if (
        estimates.dim() != 3
        or (estimates.shape[0], estimates.shape[2]) != (batch, time)
        or (mixture.shape != (batch, time))
    ):
        raise ValueError(
            f"estimates {tuple(estimates.shape)}, sources {tuple(sources.shape)} and mixture {tuple(mixture.shape)}; "
            "expected (batch, estimates, time), (batch, sources, time) and (batch, time)"
        )


def matched_mean(losses: Tensor, exhaustive_to: int = EXHAUSTIVE_TO) -> Tensor:
    """Mean loss under `best_assignment`: (batch, count, count) -> (batch,)."""
    best = best_assignment(losses, exhaustive_to)
    return losses.gather(1, best.unsqueeze(1)).squeeze(1).mean(1)


def all_pairs(pairwise: PairwiseLoss, estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """Loss of every estimate i against every source j: (batch, count, count), silent ones being added where there are
    fewer of either."""
    check_shapes(estimates, sources, mixture)
    estimates, sources = with_silent_ones(estimates, sources)
    return pairwise(estimates.unsqueeze(2), sources.unsqueeze(1), mixture[:, None, None])


def with_silent_ones(estimates: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """As many of both: (batch, estimates, time), (batch, sources, time) -> (batch, the larger number, time) twice."""
    missing = estimates.shape[1] - sources.shape[1]
    return functional.pad(estimates, (0, 0, 0, max(-missing, 0))), functional.pad(sources, (0, 0, 0, max(missing, 0)))


class PermutationInvariant(nn.Module):
    """A pairwise loss under the best permutation of a whole item (Kolbaek et al., 2017), for models whose estimates
    come in no particular order.

    Where there are more estimates than sources, those left over are held against silence; where there are fewer, the
    sources left over are held against silent estimates. pairwise: `NegativeSnr` unless given.
    """

    def __init__(self, pairwise: PairwiseLoss | None = None, exhaustive_to: int = EXHAUSTIVE_TO) -> None:
        super().__init__()
        self.pairwise = pairwise or NegativeSnr()
        self.exhaustive_to = exhaustive_to

    def forward(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """(batch, estimates, time), (batch, sources, time), (batch, time) -> (batch,), the mean over sources in dB."""
        return matched_mean(all_pairs(self.pairwise, estimates, sources, mixture), self.exhaustive_to)


class FixedOrder(nn.Module):
    """A pairwise loss of estimate i against source i, for models whose estimates belong to a cue each (lips), or have
    names.

    pairwise: `NegativeSnr` unless given.
    """

    def __init__(self, pairwise: PairwiseLoss | None = None) -> None:
        super().__init__()
        self.pairwise = pairwise or NegativeSnr()

    def forward(self, estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
        """(batch, sources, time) twice, (batch, time) -> (batch,), the mean over sources in dB."""
        check_shapes(estimates, sources, mixture)
        if estimates.shape[1] != sources.shape[1]:
            raise ValueError(
                f"{estimates.shape[1]} estimates for {sources.shape[1]} sources; in a fixed order each has its own"
            )
        return self.pairwise(estimates, sources, mixture.unsqueeze(1)).mean(1)
