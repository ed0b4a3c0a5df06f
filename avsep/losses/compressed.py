"""A loss of spectra whose quiet bins are lifted."""

from __future__ import annotations

from torch import Tensor

from avsep.dsp.stft import full_precision, power_law, stft
from avsep.errors import UsageError
from avsep.losses.pairwise import PairwiseLoss
from avsep.models.limits import check_spectra


class CompressedSpectrum(PairwiseLoss):
    """Mean square difference of the complex STFTs of estimate and source, both compressed by a power law (Ephrat et
    al., Looking to listen at the cocktail party, 2018).

    Both are scaled by what brings the mixture to a deviation of 1, so that the level of the item changes nothing. The
    bound is 0; silent sources need no rule of their own. window, hop, points: of the STFT (see `avsep.dsp.stft`), in
    samples.
    """

    def __init__(self, window: int = 400, hop: int = 160, points: int | None = 512, power: float = 0.3) -> None:
        super().__init__()
        check_spectra(window, hop, points)
        if not 0 < power <= 1:
            raise UsageError(f"CompressedSpectrum: power is {power}; it must be above 0 and at most 1")
        self.window, self.hop, self.points, self.power = window, hop, points, power

    def forward(self, estimate: Tensor, source: Tensor, mixture: Tensor) -> Tensor:
        """(..., time) each -> (...)."""
        level = full_precision(mixture).square().mean(-1, keepdim=True).sqrt().clamp_min(1e-5)
        made, wanted = (self._compressed(full_precision(x) / level) for x in (estimate, source))
        difference = made - wanted
        return (difference.real.square() + difference.imag.square()).mean((-2, -1))

    def _compressed(self, x: Tensor) -> Tensor:
        return power_law(stft(x, self.window, self.hop, self.points), self.power)
