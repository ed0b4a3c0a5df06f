"""Self-describing weights: a safetensors file whose header rebuilds the model; loading runs no code of the file.

The header's metadata holds one JSON text under "avsep": format, name, class_path, init_args, licence, lineage, scores.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.errors import OutputError, WeightsError
from avsep.models.build import ALLOWED_MODULES, MOST_TENSORS, build_model, renamed
from avsep.safe_text import one_line
from avsep.storage.files import written_whole

if TYPE_CHECKING:
    from torch import Tensor

    from avsep.models.base import Model

FORMAT = 1
BUNDLED = resources.files("avsep") / "assets" / "weights"
SHOWN = 3
"""Keys that a message names before it says how many more there are."""
LONGEST, DEEPEST = 1_000_000, 50
"""Characters and levels of a header: what Python makes of a longer one takes much memory, of a deeper one its stack."""
LARGEST = 30_000.0
"""Weights beyond this are no result of a training: products of a few of them overflow. The bundled ones stay below
100."""


@dataclass(frozen=True)
class Card:
    """What a weights file says of itself.

    class_path and init_args rebuild the model; lineage names data with licences, schedule and command;
    scores are figures with the test they come from; parameters is a count; level is that of the estimates, see
    `Contract`.
    """

    name: str
    class_path: str
    init_args: dict[str, Any]
    parameters: int
    licence: str
    lineage: dict[str, Any]
    scores: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    path: str = ""
    level: str = "source"


def save_model(
    path: Path,
    model: Model,
    name: str,
    licence: str,
    lineage: dict,
    scores: dict | None = None,
    *,
    half: bool = True,
) -> Card:
    """Write a model under a temporary name, then rename; returns what the file says of itself.

    half: in half precision, but for tensors with values beyond its range. Raises WeightsError for what could not be
    loaded again (a class outside avsep.models, arguments or a lineage that are not plain, weights that are not
    finite), OutputError where the file cannot be written.
    """
    import torch
    from safetensors.torch import save_file

    if not model.class_path.startswith(ALLOWED_MODULES):
        raise WeightsError(
            f"{model.class_path} is no model of avsep (a class under {ALLOWED_MODULES[:-1]}); a weights file of it "
            "would be refused when it is loaded. Move the model into avsep/models/ first."
        )
    level = getattr(getattr(model, "contract", None), "level", "source")
    card = Card(
        name, model.class_path, model.init_args, model.parameter_count, licence, lineage, scores or {}, level=level
    )
    left_out = ("path",) if level != "source" else ("path", "level")
    try:
        text = json.dumps({k: v for k, v in asdict(card).items() if k not in left_out}, sort_keys=True, allow_nan=False)
        _header(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"the header of {path} would hold more than plain types ({error}). The model's arguments, lineage and "
            "scores may hold text, finite numbers, true/false, null, lists and mappings with text as keys only."
        ) from error
    check_values(model, "the model")
    tensors = {}
    for key, value in model.state_dict().items():
        value = value.detach().to("cpu")
        if value.is_floating_point():
            small = value.to(torch.float16)
            value = small if half and small.isfinite().all() else value.float()
        tensors[key] = value.contiguous()
    with model_file(path) as partial:
        save_file(tensors, partial, metadata={"avsep": text})
    return read_card(path)


@contextmanager
def model_file(path: Path) -> Iterator[Path]:
    """`written_whole` for the file of a model. Raises OutputError where that fails."""
    from safetensors import SafetensorError

    try:
        with written_whole(path) as partial:
            partial.touch()
            mode = partial.stat().st_mode
            yield partial
            partial.chmod(mode)  # safetensors makes files that nobody else may read
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise OutputError(f"cannot write {path}: {reason}. Nothing was written") from error


def list_weights() -> list[Card]:
    """Cards of the bundled weights, by name."""
    return [read_card(find_weights(name)) for name in _names()]


def find_weights(name_or_path: str | Path) -> Path:
    """A bundled name, or a path to a weights file, to the file. Raises WeightsError for neither."""
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        if os.path.isfile(path):  # false for any name that none can have
            return path
        raise WeightsError(f"no weights file at {path}. Give a .safetensors file or one of: {', '.join(_names())}.")
    bundled = BUNDLED / f"{name_or_path}.safetensors"
    if not os.path.isfile(str(bundled)):
        raise WeightsError(
            f"unknown model {str(name_or_path)!r}. Bundled: {', '.join(_names())}; "
            "or give the path of a .safetensors file."
        )
    return Path(str(bundled))


def read_card(path: Path) -> Card:
    """The header of a weights file. Raises WeightsError when it is damaged or not ours."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{path} cannot be read as safetensors ({error}). It is damaged or of another kind: get it again."
        ) from error
    try:
        card = Card(**(_header(metadata["avsep"]) | {"path": str(path)}))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} is a safetensors file, but not one of avsep's (no avsep header that can be read). "
            "Use a bundled name or a file written by avsep."
        ) from error
    if card.format != FORMAT:
        raise WeightsError(
            f"{path} has format {card.format}; this version reads format {FORMAT}. Update avsep or export again."
        )
    for entry in fields(Card):
        kind = {"str": str, "int": int}.get(str(entry.type), dict)
        if not isinstance(getattr(card, entry.name), kind):
            raise WeightsError(f"{path} is damaged: {entry.name} in its header is not of type {kind.__name__}.")
    if not card.class_path.startswith(ALLOWED_MODULES):
        raise WeightsError(
            f"{path} asks for class {card.class_path!r}; only classes under {ALLOWED_MODULES} are loaded. "
            "Do not use this file unless you trust where it comes from."
        )
    return card


def _header(text: str) -> Any:
    """What a header holds. Raises ValueError or RecursionError for no JSON, or one too long or nested too deeply."""
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text):,} characters; at most {LONGEST:,} are allowed")
    header = json.loads(text)
    if _levels(header) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return header


def _levels(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_levels, items), default=0)


def load_model(name_or_path: str | Path, device: str = "cpu") -> tuple[Model, Card]:
    """Rebuild a model for inference, in single precision on `device`."""
    from safetensors.torch import load_file

    path = find_weights(name_or_path)
    card = read_card(path)
    try:
        weights = load_file(path)
        # Building makes each tensor, and fills some of them from another one.
        room = 3 * sum(tensor.numel() for tensor in weights.values()) + 10_000_000
        most = min(MOST_TENSORS, 4 * len(weights) + 1_000)
        model = build_model(card.class_path, card.init_args, room, most)
        load_weights(model, renamed(weights, card.class_path), "the file")
        if card.level != "source":
            model.contract = replace(model.contract, level=card.level)  # type: ignore[type-var]
    except Exception as error:
        raise WeightsError(
            f"the weights in {path} do not fit their own description ({card.class_path}): {error} The file is damaged."
        ) from error
    check_values(model, str(path))
    return model.eval().to(device), card


def load_weights(model: Model, weights: Mapping[str, Tensor], source: str) -> None:
    """Put tensors into a model. Raises WeightsError naming keys, shapes and types that differ, in one line.

    source: what holds the tensors, for the message.
    """
    own = model.state_dict()
    common = [key for key in own if key in weights]
    shapes = [
        f"{key} is {tuple(weights[key].shape)} in {source} and {tuple(own[key].shape)} in the configuration"
        for key in common
        if weights[key].shape != own[key].shape
    ]
    kinds = [
        f"{key} is of type {weights[key].dtype} in {source}, expected {own[key].dtype}"
        for key in common
        if weights[key].is_floating_point() != own[key].is_floating_point() or weights[key].is_complex()
    ]
    problems = []
    if missing := [key for key in own if key not in weights]:
        problems.append(f"{source} lacks {_some(missing)}")
    if unknown := [key for key in weights if key not in own]:
        problems.append(f"{source} has {_some(unknown)}, which the configuration has not")
    problems += [_some(found) for found in (shapes, kinds) if found]
    if problems:
        raise WeightsError("; ".join(problems) + ".")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})


def check_values(model: Model, source: str) -> None:
    """Raise WeightsError for a tensor with values that are not finite, or a parameter with such as no training that
    went well leaves. source: where they come from, for the message."""
    learnt = dict(model.named_parameters())
    for key, value in model.state_dict().items():
        if not value.is_floating_point() or (value.isfinite().all() and key not in learnt):
            continue
        if not (value.abs() <= LARGEST).all():  # false for NaN
            found = f"beyond +-{LARGEST:g}" if value.isfinite().all() else "that are not finite"
            raise WeightsError(
                f"{key} holds values {found} in {source}: the training diverged before they were saved. "
                "Take an earlier checkpoint, or other weights."
            )


def _some(entries: list[str]) -> str:
    more = len(entries) - SHOWN
    return ", ".join(entries[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _names() -> list[str]:
    return sorted(p.name.removesuffix(".safetensors") for p in BUNDLED.iterdir() if p.name.endswith(".safetensors"))
