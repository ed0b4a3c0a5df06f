"""A loss of the magnitude and of the phase that a model estimates of each source."""

from __future__ import annotations

from torch import Tensor

from avsep.dsp.spatial import phases
from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.objective import Batch, Objective, needed, spectra
from avsep.models.base import Output


class MagnitudeAndPhase(Objective):
    """Mean absolute error of the magnitude, and one minus the cosine of the phase error, weighted by the source's
    magnitude (Afouras et al., The Conversation, 2018).

    For models with masks over the spectrum, real or complex, mask i being that of source i. weight: of the phase's
    part. Both parts are relative to the mixture's mean magnitude, so that the level of the item changes nothing. The
    bound is 0.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if weight < 0:
            raise UsageError(f"MagnitudeAndPhase: weight is {weight}; it must be 0 or more")
        self.weight = weight

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """-> (batch,)."""
        masks = full_precision(needed(output, "masks", self))
        sources, mixture = spectra(output, batch, self)
        if masks.shape != sources.shape:
            raise UsageError(
                f"MagnitudeAndPhase: masks {tuple(masks.shape)} for sources {tuple(sources.shape)}; expected one for "
                "each source"
            )
        size = full_precision(mixture).abs().unsqueeze(1)
        wanted = sources.abs()
        error = (masks.abs() * size - wanted).abs()
        turned = phases(masks * phases(full_precision(mixture)).unsqueeze(1)) * phases(sources).conj()
        missed = wanted * (1 - turned.real)
        level = size.mean((1, 2, 3)) + 1e-8
        return (error + self.weight * missed).mean((1, 2, 3)) / level
