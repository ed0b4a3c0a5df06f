"""What a training minimises: from a model's output and the batch to one loss an item."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.clustering import DeepClustering
from avsep.losses.order import FixedOrder, PermutationInvariant
from avsep.losses.pairwise import NegativeSnr, PairwiseLoss
from avsep.losses.spectral import MaskLoss
from avsep.models.base import Contract, Output

Batch = Mapping[str, Any]


class Objective(nn.Module, ABC):
    """A loss of what a model gives. Every one can be named in YAML as the task's `objective`, or within another one."""

    def adapt(self, contract: Contract) -> None:
        """Settle what hangs on the model; called once of every objective, those within others too."""

    @abstractmethod
    def forward(self, output: Output, batch: Batch) -> Tensor:
        """batch: mixture (batch, channels, time), sources (batch, sources, channels, time), labels (batch, sources) ->
        (batch,). Raises UsageError for what the output or the batch lacks."""


class OnEstimates(Objective):
    """A loss of waveforms on the estimates.

    loss: a waveform loss, or a pairwise one, which then goes in the order of the model's contract:
    `PermutationInvariant` for "any", `FixedOrder` for "cue" and "named". `NegativeSnr` unless given. Estimates of c
    channels are held against the first c channels of the sources, one channel behind the other in time: one
    permutation, and one ratio of energies, for all channels.
    """

    def __init__(self, loss: nn.Module | None = None) -> None:
        super().__init__()
        self.given = loss or NegativeSnr()
        self.loss = ordered(self.given, "any")

    def adapt(self, contract: Contract) -> None:
        self.loss = ordered(self.given, contract.order)

    def forward(self, output: Output, batch: Batch) -> Tensor:
        return self.loss(*folded(needed(output, "estimates", self), batch))


class OnStages(Objective):
    """A mean of a waveform loss over the stages of a model and its final estimates, each in its own permutation.

    For estimates after every block (Nachmani et al., 2020), earlier passes (iterative models) and decoders of several
    window lengths (multi-scale SI-SNR: SpEx, Xu et al., 2020, weights 0.1, 0.1, 0.8). loss: as in `OnEstimates`.
    weights: one of 0 or more for each stage in their order, the last for the final estimates; all the same unless
    given.
    """

    def __init__(self, loss: nn.Module | None = None, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if weights is not None and (not weights or min(weights) < 0 or sum(weights) == 0):
            raise UsageError(f"OnStages: weights are {list(weights)}; expected numbers of 0 or more, not all 0")
        self.on_estimates = OnEstimates(loss)
        self.weights = weights

    def forward(self, output: Output, batch: Batch) -> Tensor:
        stages = (*needed(output, "stages", self), needed(output, "estimates", self))
        weights = self.weights or [1.0] * len(stages)
        if len(weights) != len(stages):
            raise UsageError(
                f"OnStages: {len(weights)} weights, but the model gives {len(stages) - 1} stages and the final "
                f"estimates: give {len(stages)} weights"
            )
        parts = zip(weights, stages, strict=True)
        losses = [weight * self.on_estimates(Output(stage), batch) for weight, stage in parts if weight]
        return torch.stack(losses).sum(0) / sum(weights)


class OnMasks(Objective):
    """A loss of masks (`MaskMse`, `SpectrumApproximation`; of complex ones `ComplexMaskMse`) over the spectrum of the
    first channel, or over those of all channels, one channel behind the other in time."""

    def __init__(self, loss: MaskLoss) -> None:
        super().__init__()
        self.loss = loss

    def adapt(self, contract: Contract) -> None:
        if contract.order != "any" and self.loss.in_any_order:
            raise UsageError(
                f"OnMasks: {type(self.loss).__name__} takes the masks in any order, but each of the model's belongs to "
                "one source; set in_any_order to false"
            )

    def forward(self, output: Output, batch: Batch) -> Tensor:
        masks = needed(output, "masks", self)
        if masks.is_complex() and not self.loss.takes_complex:
            raise UsageError(
                "OnMasks: the model's masks are complex; take OnEstimates, the loss ComplexMaskMse, or a model with "
                "real masks"
            )
        sources, mixture = spectra(output, batch, self)
        if mixture.dim() == 4:
            masks, sources, mixture = (x.transpose(-3, -2).flatten(-2) for x in (masks, sources, mixture))
        return self.loss(masks, sources, mixture)


class OnEmbeddings(Objective):
    """`DeepClustering` on the embeddings of the bins. loss: `DeepClustering()` unless given."""

    def __init__(self, loss: DeepClustering | None = None) -> None:
        super().__init__()
        self.loss = loss or DeepClustering()

    def forward(self, output: Output, batch: Batch) -> Tensor:
        return self.loss(needed(output, "embeddings", self), *spectra(output, batch, self))


class WeightedSum(Objective):
    """Several objectives together. weights: one for each, all 1 unless given. A loss that is no objective stands for
    `OnEstimates` of it."""

    def __init__(self, objectives: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.weights = [1.0] * len(objectives) if weights is None else list(weights)
        if not objectives or len(self.weights) != len(objectives):
            raise UsageError(f"WeightedSum: {len(objectives)} objectives and {len(self.weights)} weights; give as many")
        self.objectives = nn.ModuleList(as_objective(objective) for objective in objectives)

    def forward(self, output: Output, batch: Batch) -> Tensor:
        parts = zip(self.weights, self.objectives, strict=True)
        return torch.stack([weight * objective(output, batch) for weight, objective in parts]).sum(0)


def as_objective(loss: nn.Module | None) -> Objective:
    """An objective as it is, a loss of waveforms as one on the estimates. Raises UsageError for other losses."""
    if isinstance(loss, MaskLoss | DeepClustering):
        wrapper = "OnMasks (of a model with masks) or OnWaveforms" if isinstance(loss, MaskLoss) else "OnEmbeddings"
        raise UsageError(f"{type(loss).__name__} is no loss of waveforms; name it as the loss of {wrapper}")
    return loss if isinstance(loss, Objective) else OnEstimates(loss)


def ordered(loss: nn.Module, order: str) -> nn.Module:
    """A loss of waveforms as it is, a pairwise one in that order of a contract."""
    if not isinstance(loss, PairwiseLoss):
        return loss
    return PermutationInvariant(loss) if order == "any" else FixedOrder(loss)


def folded(estimates: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Estimates (batch, estimates, channels, time) -> (batch, estimates, channels * time), and as many channels of the
    batch's sources (batch, sources, channels * time) and mixture (batch, channels * time)."""
    channels, there = estimates.shape[2], batch["sources"].shape[2]
    if there < channels:
        raise UsageError(
            f"the model gives estimates of {channels} channels, the sources of the batch have {there}; take data with "
            f"{channels} or more"
        )
    sources, mixture = batch["sources"][:, :, :channels], batch["mixture"][:, :channels]
    return full_precision(estimates).flatten(2), sources.flatten(2), mixture.flatten(1)


def active_sources(batch: Batch) -> Tensor:
    """Which sources of the batch are not silent, (batch, sources) bool."""
    return batch["sources"].flatten(2).square().sum(2) > 0


def spectra(output: Output, batch: Batch, objective: Objective) -> tuple[Tensor, Tensor]:
    """Complex spectra of the first channel, as the model sees it: of the sources (batch, sources, freq, frames) and of
    the mixture (batch, freq, frames); or of all channels, where the model has theirs: (batch, sources, channels, freq,
    frames) and (batch, channels, freq, frames)."""
    transform, mixture = needed(output, "transform", objective), needed(output, "spectrum", objective)
    sources = batch["sources"]
    # The targets of a learned transform are no way to a smaller loss.
    with torch.no_grad():
        return transform(sources if mixture.dim() == 4 else sources[:, :, 0]), mixture


def needed(output: Output, name: str, objective: Objective) -> Any:
    """That part of an output. Raises UsageError where the model does not give it."""
    given = [entry.name for entry in fields(Output) if _is_given(getattr(output, entry.name))]
    if name not in given:
        raise UsageError(
            f"{type(objective).__name__} needs {name}, but the model gives {', '.join(given) or 'nothing'}; take an "
            "objective on one of those, or another model"
        )
    return getattr(output, name)


def _is_given(value: Any) -> bool:
    return value is not None and (not isinstance(value, tuple | dict) or bool(value))
