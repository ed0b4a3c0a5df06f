"""Masks from the ideal attractors of a mixture: what deep attractor networks are trained with (Chen et al., 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.dsp.masks import ideal_masks
from avsep.errors import UsageError
from avsep.losses.objective import Batch, Objective, needed, spectra
from avsep.losses.order import matched_mean
from avsep.losses.spectral import MaskLoss, MaskMse
from avsep.models.base import Output
from avsep.models.parts.attractors import centroids, loudest_bins, masks_by


class OnAttractors(Objective):
    """A loss of the masks that the embeddings make with the ideal attractors, the centroids of each source's bins.

    A bin belongs to the source that is loudest in it, and counts for the attractors if it is among the `loudest` share
    of the bins. Source i has attractor i: there is no permutation to find. A source without bins gets no mask.

    loss: of masks that are not `in_any_order`; unless given `MaskMse` of "WFM" masks, `weighted`, as Luo et al. (2018)
    have it. Chen et al. (2017) have `SpectrumApproximation(phase_sensitive=False, in_any_order=False)`. Where the model
    has fixed attractors, their mean square distance from the ideal ones of the item, in the best order, is added: it is
    least at the mean of those, and only the fixed ones follow it.
    """

    def __init__(self, loss: MaskLoss | None = None, loudest: float = 0.9) -> None:
        super().__init__()
        self.loss = loss or MaskMse("WFM", in_any_order=False, weighted=True)
        if getattr(self.loss, "in_any_order", False):
            raise UsageError(
                f"OnAttractors: {type(self.loss).__name__} takes the masks in any order, but each is that of one "
                "source; set in_any_order to false"
            )
        if not 0 < loudest <= 1:
            raise UsageError(f"loudest is {loudest}; it must be above 0 and at most 1")
        self.loudest = loudest

    def forward(self, output: Output, batch: Batch) -> Tensor:
        embeddings = needed(output, "embeddings", self)
        if output.masks is not None:
            raise UsageError(
                "the model makes its masks without the ideal attractors (anchored ones); take OnMasks or OnEstimates"
            )
        sources, mixture = spectra(output, batch, self)
        owned = ideal_masks("IBM", sources, mixture) * loudest_bins(mixture, self.loudest).unsqueeze(1)
        attractors, present = centroids(embeddings, owned), owned.flatten(2).any(2)
        losses = self.loss(masks_by(embeddings, attractors, present), sources, mixture)
        if output.attractors is None:
            return losses
        return losses + self._distance(output.attractors, attractors.detach(), present)

    def _distance(self, fixed: Tensor, ideal: Tensor, present: Tensor) -> Tensor:
        """(batch, sources, dims) twice, (batch, sources) -> (batch,)."""
        if fixed.shape != ideal.shape:
            raise UsageError(
                f"the model has fixed attractors for {fixed.shape[1]} sources, and the batch has {ideal.shape[1]}; "
                "take a model with as many"
            )
        pairs = (fixed.unsqueeze(2) - ideal.unsqueeze(1)).square().mean(3)
        return matched_mean(torch.where(present.unsqueeze(1), pairs, 0))
