"""Losses of one estimate against one source, in dB."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision

EPS = 1e-8
"""Energy (sum of squares) that counts as nothing."""


def silence_loss(estimate: Tensor, mixture: Tensor, silent_db: float) -> Tensor:
    """What is left of the mixture where there should be silence (Wisdom et al., FUSS, 2021, eq. 5):
    (..., time) each -> (...), the estimate's power over the mixture's in dB, down to -`silent_db`."""
    energy = mixture.square().sum(-1) + EPS
    return 10 * torch.log10(estimate.square().sum(-1) / energy + 10 ** (-silent_db / 10))


def snr_loss(
    estimate: Tensor, source: Tensor, mixture: Tensor, floor_db: float = 30.0, silent_db: float = 20.0
) -> Tensor:
    """Negative SNR with a floor (Wisdom et al., FUSS, 2021, eqs. 4 and 5): (..., time) each -> (...).

    An active source counts up to `floor_db`. A silent one (all zeros) is held against the mixture:
    the estimate's power over the mixture's, down to -`silent_db`.
    """
    estimate, source, mixture = full_precision(estimate), full_precision(source), full_precision(mixture)
    power = source.square().sum(-1)
    error = (source - estimate).square().sum(-1)
    active = 10 * torch.log10((error + 10 ** (-floor_db / 10) * power + EPS) / (power + EPS))
    return torch.where(power > 0, active, silence_loss(estimate, mixture, silent_db))


def si_snr_loss(
    estimate: Tensor,
    source: Tensor,
    mixture: Tensor,
    floor_db: float = 80.0,
    silent_db: float = 20.0,
    zero_mean: bool = True,
) -> Tensor:
    """Negative SI-SNR (Luo and Mesgarani, 2018; means removed unless told otherwise): (..., time) each -> (...).

    With both signals scaled to power 1 the part of the estimate along the source has power c², the rest 1 - c². The
    loss is 10 log10((1 - c² + f) / (c² + f)), f being -`floor_db`: within -`floor_db` and `floor_db`, both reached
    softly. A silent estimate gives 0 dB; a silent source is treated as in `snr_loss`.
    """
    estimate, source, mixture = full_precision(estimate), full_precision(source), full_precision(mixture)
    silent = silence_loss(estimate, mixture, silent_db)
    is_silent = source.square().sum(-1) == 0
    if zero_mean:
        estimate, source = (x - x.mean(-1, keepdim=True) for x in (estimate, source))
    estimate, source = _unit_power(estimate), _unit_power(source)
    target = (estimate * source).sum(-1, keepdim=True) * source
    floor = 10 ** (-floor_db / 10)
    # The rest by subtraction, not as 1 - c²: that would end at the rounding of 1.
    rest = (estimate - target).square().sum(-1)
    active = 10 * torch.log10((rest + floor) / (target.square().sum(-1) + floor))
    return torch.where(is_silent, silent, active)


def _unit_power(x: Tensor) -> Tensor:
    # The clamp comes before the root, whose slope at 0 is infinite.
    return x / x.square().sum(-1, keepdim=True).clamp_min(1e-20).sqrt()


class PairwiseLoss(nn.Module):
    """A loss of one estimate against one source: (estimate (..., time), source (..., time), mixture (..., time)), which
    are broadcast, -> (...).

    level_free: whether the loss is the same for an estimate of any level and sign.
    """

    level_free: ClassVar[bool] = False


class NegativeSnr(PairwiseLoss):
    """`snr_loss` as a module: SNR counts up to `floor_db`, a silent source down to -`silent_db`."""

    def __init__(self, floor_db: float = 30.0, silent_db: float = 20.0) -> None:
        super().__init__()
        self.floor_db, self.silent_db = floor_db, silent_db

    def forward(self, estimate: Tensor, source: Tensor, mixture: Tensor) -> Tensor:
        """(..., time) each -> (...), in dB."""
        return snr_loss(estimate, source, mixture, self.floor_db, self.silent_db)


class NegativeSiSnr(PairwiseLoss):
    """`si_snr_loss` as a module. The level of the estimates is left free; `floor_db` 30 spends no effort on what is
    separated already (SepFormer, Subakan et al., 2021). zero_mean: whether means are removed first, as those of
    waveforms are."""

    level_free = True

    def __init__(self, floor_db: float = 80.0, silent_db: float = 20.0, zero_mean: bool = True) -> None:
        super().__init__()
        self.floor_db, self.silent_db, self.zero_mean = floor_db, silent_db, zero_mean

    def forward(self, estimate: Tensor, source: Tensor, mixture: Tensor) -> Tensor:
        """(..., time) each -> (...), in dB."""
        return si_snr_loss(estimate, source, mixture, self.floor_db, self.silent_db, self.zero_mean)
