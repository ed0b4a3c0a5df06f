"""A model of avsep from its description: class path and arguments, which may hold the descriptions of its parts."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from avsep.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

    from avsep.models.base import Model

ALLOWED_MODULES = "avsep.models."
MOST_DEPTH, MOST_NODES = 8, 64
"""Parts within parts, and parts in all, that a description may name."""
MOST_NUMBERS, MOST_TENSORS = 2_000_000_000, 100_000
"""What a model that is not read from a file may make while it is built."""


@dataclass(frozen=True)
class Moved:
    """What became of a class that files of earlier versions name. tensors: beginnings of names, old -> new."""

    class_path: str
    tensors: Mapping[str, str] = field(default_factory=dict)


MOVED = {
    "avsep.models.audio_only.AudioOnly": Moved("avsep.models.conv_tasnet.ConvTasNet"),
    "avsep.models.audio_visual.AudioVisual": Moved(
        "avsep.models.av_conv_tasnet.AVConvTasNet", {"lip_encoder.": "cue_encoder."}
    ),
}


def today(class_path: str) -> Moved:
    """Where a class is that a file names; the class itself if it never moved."""
    return MOVED.get(class_path, Moved(str(class_path)))


def build_model(class_path: str, init_args: Mapping[str, Any], most_numbers: int = MOST_NUMBERS) -> Model:
    """A model of avsep.models from its class path and arguments, with fresh weights.

    Arguments may hold parts as {"class_path": ..., "init_args": ...}. Nothing but a subclass of `Part` under
    avsep.models is ever called, the model itself being a `Model`. Raises WeightsError for everything else, for
    arguments that the class does not take, for descriptions that are nested too deeply, and before tensors of more than
    `most_numbers` numbers in all are made.
    """
    from avsep.models.base import Model
    from avsep.models.limits import Limited

    with Limited(most_numbers, MOST_TENSORS):
        model = _Builder().build(class_path, init_args, 0)
    if not isinstance(model, Model):
        raise WeightsError(f"class {class_path!r} is a part of models of avsep, not a model.")
    return model


class _Builder:
    """Builds the parts that a description names, and counts them."""

    def __init__(self) -> None:
        self.nodes = 0

    def build(self, class_path: str, init_args: Mapping[str, Any], depth: int) -> Any:
        self.nodes += 1
        if depth > MOST_DEPTH or self.nodes > MOST_NODES:
            raise WeightsError(
                f"the description of the model has more than {MOST_NODES} parts, or parts {MOST_DEPTH} levels deep."
            )
        found = _part_class(class_path)
        arguments = {key: self.value(value, depth + 1) for key, value in dict(init_args).items()}
        try:
            return found(**arguments)
        except (TypeError, ValueError, RuntimeError, KeyError, OverflowError, MemoryError) as error:
            reason = one_line(error).removeprefix(f"{found.__name__}.__init__() ")
            raise WeightsError(f"{found.__name__} cannot be built with its init_args: {reason}.") from error

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            if "class_path" in value:
                return self.build(value["class_path"], value.get("init_args") or {}, depth)
            return {key: self.value(item, depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, depth) for item in value]
        return value


def _part_class(class_path: Any) -> type:
    """The class, which is a part of models; WeightsError for anything else."""
    from avsep.models.base import Part

    path = today(class_path).class_path
    module, _, name = path.rpartition(".")
    found = None
    if path.startswith(ALLOWED_MODULES):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
    if not (isinstance(found, type) and issubclass(found, Part) and found.__module__.startswith(ALLOWED_MODULES)):
        raise WeightsError(f"class {class_path!r} is not a model of avsep (a class under {ALLOWED_MODULES[:-1]}).")
    return found


def renamed(weights: Mapping[str, Tensor], class_path: str) -> dict[str, Tensor]:
    """The tensors under the names they have today."""
    moved = today(class_path).tensors

    def name(key: str) -> str:
        old = next((begin for begin in moved if key.startswith(begin)), "")
        return moved[old] + key.removeprefix(old) if old else key

    return {name(key): tensor for key, tensor in weights.items()}


def one_line(error: Exception) -> str:
    """What an error says, in one line and without its full stop."""
    return " ".join(str(error).split()).rstrip(".")
