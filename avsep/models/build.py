"""A model of avsep from its description: class path and arguments, which may hold the descriptions of its parts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from avsep.errors import WeightsError
from avsep.safe_text import one_line

if TYPE_CHECKING:
    from torch import Tensor

    from avsep.models.base import Model

ALLOWED_MODULES = "avsep.models."
MOST_DEPTH, MOST_NODES = 8, 64
"""Parts within parts, and parts in all, that a description may name."""
MOST_VALUES, LARGEST = 10_000, 2**31 - 1
"""Values in all that a description may hold, and the largest number among them."""
MOST_NUMBERS, MOST_TENSORS = 2_000_000_000, 10_000
"""What a model may make while it is built, the first of one that is not read from a file."""


@dataclass(frozen=True)
class Moved:
    """What became of a class that files of earlier versions name; it may be where it was, with other names of tensors.
    tensors: beginnings of names, old -> new."""

    class_path: str
    tensors: Mapping[str, str] = field(default_factory=dict)


MOVED = {
    "avsep.models.audio_only.AudioOnly": Moved("avsep.models.conv_tasnet.ConvTasNet"),
    "avsep.models.audio_visual.AudioVisual": Moved(
        "avsep.models.av_conv_tasnet.AVConvTasNet", {"lip_encoder.": "cue_encoder."}
    ),
    "avsep.models.mc_wave_u_net.MultiChannelWaveUNet": Moved(
        "avsep.models.mc_wave_u_net.MultiChannelWaveUNet",
        {name: f"layers.{name}" for name in ("down.", "lowest.", "up.", "leave.")},
    ),
}


def today(class_path: str) -> Moved:
    """Where a class is that a file names; the class itself if it never moved."""
    return MOVED.get(class_path, Moved(str(class_path)))


def build_model(
    class_path: str, init_args: Mapping[str, Any], most_numbers: int = MOST_NUMBERS, most_tensors: int = MOST_TENSORS
) -> Model:
    """A model of avsep.models from its class path and arguments, with fresh weights.

    Arguments may hold parts as {"class_path": ..., "init_args": ...}. Nothing but a subclass of `Part` under
    avsep.models is ever called, the model itself being a `Model`. Raises WeightsError for everything else, for
    arguments that the class does not take, for descriptions that are too large or nested too deeply, and before tensors
    of more than `most_numbers` numbers in all are made, or more than `most_tensors` tensors or modules.
    """
    from avsep.models.base import Model
    from avsep.models.limits import Limited

    with Limited(most_numbers, most_tensors):
        model = _Builder().build(class_path, init_args, 0)
    if not isinstance(model, Model):
        raise WeightsError(f"class {class_path!r} is a part of models of avsep, not a model.")
    return model


class _Builder:
    """Builds the parts that a description names, and counts them and their values."""

    def __init__(self) -> None:
        self.nodes = self.values = 0

    def build(self, class_path: Any, init_args: Any, depth: int) -> Any:
        self.nodes += 1
        self.check(depth)
        found = _part_class(class_path)
        if not isinstance(init_args, Mapping):
            raise WeightsError(
                f"the init_args of {found.__name__} are {init_args!r:.100}; they must be a mapping of arguments."
            )
        arguments = {key: self.value(value, depth + 1) for key, value in init_args.items()}
        try:
            _check_types(found, arguments)
            return found(**arguments)
        except WeightsError:
            raise
        except Exception as error:
            reason = one_line(error).removeprefix(f"{found.__name__}.__init__() ")
            raise WeightsError(f"{found.__name__} cannot be built with its init_args: {reason}.") from error

    def value(self, value: Any, depth: int) -> Any:
        self.values += 1
        self.check(depth)
        if isinstance(value, Mapping):
            if "class_path" in value:
                return self.build(value["class_path"], value.get("init_args") or {}, depth)
            return {key: self.value(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item, depth + 1) for item in value]
        if isinstance(value, int | float) and not abs(value) <= LARGEST:  # true for NaN
            raise WeightsError(
                f"the description of the model holds {value!r:.100}; numbers must be finite and within +-{LARGEST:,}."
            )
        return value

    def check(self, depth: int) -> None:
        if depth > MOST_DEPTH or self.nodes > MOST_NODES or self.values > MOST_VALUES:
            raise WeightsError(
                f"the description of the model has more than {MOST_NODES} parts or {MOST_VALUES:,} values, or is more "
                f"than {MOST_DEPTH} levels deep."
            )


def _check_types(found: type, arguments: Mapping[str, Any]) -> None:
    """ValueError for an argument that is not of the type that its class declares."""
    from avsep.models.base import plain

    declared = get_type_hints(found.__init__)  # type: ignore[misc]
    for name, value in arguments.items():
        if name in declared and not _fits(value, declared[name]):
            raise ValueError(f"{name} is {plain(value)!r:.100}; it must be {inspect.formatannotation(declared[name])}")


def _fits(value: Any, declared: Any) -> bool:
    """Whether a value is of a declared type, as far as descriptions have it: plain types, lists of them and parts."""
    kind, inner = get_origin(declared) or declared, get_args(declared)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if kind in (Sequence, list):
        return isinstance(value, list) and all(_fits(item, one) for item in value for one in inner)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    # Which of a few texts are allowed is for the class to say.
    return not isinstance(kind, type) or isinstance(value, kind)


def _part_class(class_path: Any) -> type:
    """The class, which is a part of models; WeightsError for anything else."""
    from avsep.models.base import Part

    path = today(class_path).class_path if isinstance(class_path, str) else ""
    module, _, name = path.rpartition(".")
    found = None
    if path.startswith(ALLOWED_MODULES):
        try:
            found = getattr(importlib.import_module(module), name, None)
        except (ImportError, ValueError):
            found = None
    if not (
        isinstance(found, type)
        and issubclass(found, Part)
        and found.__module__.startswith(ALLOWED_MODULES)
        and found.__module__ != Part.__module__  # bases, which do nothing
    ):
        raise WeightsError(f"class {class_path!r:.200} is not a model of avsep (a class under {ALLOWED_MODULES[:-1]}).")
    return found


def renamed(weights: Mapping[str, Tensor], class_path: str) -> dict[str, Tensor]:
    """The tensors under the names they have today."""
    moved = today(class_path).tensors

    def name(key: str) -> str:
        old = next((begin for begin in moved if key.startswith(begin)), "")
        return moved[old] + key.removeprefix(old) if old else key

    return {name(key): tensor for key, tensor in weights.items()}
