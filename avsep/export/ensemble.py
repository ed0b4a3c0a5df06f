"""Several trained separators as one weights file."""

from __future__ import annotations

from collections.abc import Sequence

from avsep.checkpoint import load_model
from avsep.errors import UsageError
from avsep.export.weights import About
from avsep.models.base import SeparationModel
from avsep.models.ensemble import Ensemble


def join(sources: Sequence[str]) -> tuple[Ensemble, About]:
    """The ensemble of bundled names or weights files, and what its file says where nothing else is given: the licences
    and lineages of all.

    Raises WeightsError for a file that cannot be loaded, UsageError for models that give no mean together.
    """
    loaded = [load_model(source) for source in sources]
    members = []
    for source, (model, _) in zip(sources, loaded, strict=True):
        if not isinstance(model, SeparationModel):
            raise UsageError(f"{source} is a {type(model).__name__}, which separates nothing. Give separators")
        members.append(model)
    try:
        model = Ensemble(members)
    except ValueError as error:
        raise UsageError(f"{', '.join(sources)} give no mean together: {error}") from error
    cards = [card for _, card in loaded]
    licences = dict.fromkeys(card.licence for card in cards)
    lineage = {"members": [{"name": card.name, "lineage": card.lineage} for card in cards]}
    return model.eval(), About("; ".join(licences), lineage)
