"""A trained model to a weights file that describes itself."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from avsep.checkpoint import Card, save_model
from avsep.errors import UsageError, WeightsError
from avsep.export.trained import Trained
from avsep.storage.documents import read_json

UNKNOWN_LICENCE = "not stated"


@dataclass(frozen=True)
class About:
    """What is told of the weights: licence, lineage (data, mixing, schedule, hardware, command), scores (figures with
    the test they come from); values: parameters set by hand, by name."""

    licence: str = UNKNOWN_LICENCE
    lineage: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)


def read_about(path: Path) -> About:
    """Read a JSON file with any of licence, lineage, scores, values. Raises UsageError for anything else."""
    try:
        document = read_json(path)
    except OSError as error:
        raise UsageError(f"the lineage {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the lineage {path} is not JSON: {error}") from error
    known = {entry.name: str if entry.name == "licence" else dict for entry in fields(About)}
    wanted = f"Expected is an object with some of: {', '.join(known)}"
    if not isinstance(document, dict):
        raise UsageError(f"the lineage {path} holds a {type(document).__name__}. {wanted}")
    for key, value in document.items():
        if key not in known:
            raise UsageError(f"the lineage {path} has the key {key!r}. {wanted}")
        if not isinstance(value, known[key]):
            raise UsageError(
                f"{key} in the lineage {path} is a {type(value).__name__}; it must be {known[key].__name__}"
            )
    return About(**document)


def lineage_of(trained: Trained) -> dict[str, Any]:
    """What the run itself knows of where the weights come from: the data with its arguments, and how long."""
    data = trained.config.get("data")
    known = {"data": data, "seed": trained.config.get("seed_everything"), "steps": trained.steps}
    return (
        {key: value for key, value in known.items() if value is not None}
        | ({"averaged": True} if trained.averaged else {})
        | ({"mean_with": list(trained.mean_with)} if trained.mean_with else {})
    )


def describe(trained: Trained, about: About, name: str) -> Card:
    """Set the values of `about` in the model and return its card.

    Without a lineage in `about` the run's own configuration stands in. Raises WeightsError for a value that is no
    parameter.
    """
    model = trained.model
    own = dict(model.named_parameters())
    for key, value in about.values.items():
        if key not in own:
            raise WeightsError(f"the lineage sets {key!r}, which is no parameter of {model.class_path}.")
        own[key].data.fill_(value)
    lineage = about.lineage or lineage_of(trained)
    return Card(name, model.class_path, model.init_args, model.parameter_count, about.licence, lineage, about.scores)


def export_weights(trained: Trained, out: Path, about: About, name: str | None = None, *, half: bool = True) -> Card:
    """Write the model to `out`, named after the file unless `name` is given, and return its card.

    half: in half precision. Raises WeightsError or OutputError; then nothing is written.
    """
    card = describe(trained, about, name or out.stem)
    return save_model(out, trained.model, card.name, card.licence, card.lineage, card.scores, half=half)
