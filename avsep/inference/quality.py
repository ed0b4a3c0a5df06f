"""How much work a separation is worth: the dial between fast and good, for every model by its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # The commands show the choices before anything heavy is imported.
    from avsep.models.base import Contract, SeparationModel

Quality = Literal["fast", "normal", "best"]

PASSES: dict[Quality, int] = {"fast": 1, "normal": 2, "best": 4}
"""Of cycle spinning, where a model gains from it."""


def passes_for(contract: Contract, quality: Quality) -> int:
    """Passes of cycle spinning: more than one for models with frames and a fixed number of sources in any order. A
    model that has rounds is better served by those than by a second pass, unless nothing else is left."""
    if contract.order != "any" or contract.stride == 1 or contract.sources is None:
        return 1
    return PASSES[quality] if contract.rounds == 1 else max(1, PASSES[quality] // 2)


def at_quality(model: SeparationModel, quality: Quality) -> SeparationModel:
    """The model with as many rounds as the quality asks for; itself where it has one only."""
    return model.with_rounds(1) if quality == "fast" and model.contract.rounds > 1 else model
