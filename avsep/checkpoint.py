"""Self-describing weights: a safetensors file whose header rebuilds the model; loading runs no code of the file.

The header's metadata holds one JSON text under "avsep": format, name, class_path, init_args, licence, lineage, scores.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.errors import WeightsError

if TYPE_CHECKING:
    from avsep.models.base import Model

FORMAT = 1
ALLOWED_MODULES = "avsep.models."
BUNDLED = resources.files("avsep") / "assets" / "weights"


@dataclass(frozen=True)
class Card:
    """What a weights file says of itself.

    class_path and init_args rebuild the model; lineage names data with licences, schedule and command;
    scores are figures with the test they come from; parameters is a count.
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


def save_model(path: Path, model: Model, name: str, licence: str, lineage: dict, scores: dict | None = None) -> None:
    """Write a model in half precision under a temporary name, then rename."""
    import torch
    from safetensors.torch import save_file

    card = Card(name, model.class_path, model.init_args, model.parameter_count, licence, lineage, scores or {})
    text = {k: v for k, v in asdict(card).items() if k != "path"}
    tensors = {
        key: value.detach().to("cpu", torch.float16 if value.is_floating_point() else value.dtype).contiguous()
        for key, value in model.state_dict().items()
    }
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"avsep": json.dumps(text, sort_keys=True)})
    partial.rename(path)


def list_weights() -> list[Card]:
    """Cards of the bundled weights, by name."""
    return [read_card(find_weights(name)) for name in _names()]


def find_weights(name_or_path: str | Path) -> Path:
    """A bundled name, or a path to a weights file, to the file. Raises WeightsError for neither."""
    path = Path(name_or_path)
    if path.suffix == ".safetensors" or len(path.parts) > 1:
        if path.is_file():
            return path
        raise WeightsError(f"no weights file at {path}. Give a .safetensors file or one of: {', '.join(_names())}.")
    bundled = BUNDLED / f"{name_or_path}.safetensors"
    if not bundled.is_file():
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
        fields = json.loads(metadata["avsep"])
        card = Card(**fields, path=str(path))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} is a safetensors file, but not one of avsep's (no avsep header). "
            "Use a bundled name or a file written by avsep."
        ) from error
    if card.format != FORMAT:
        raise WeightsError(
            f"{path} has format {card.format}; this version reads format {FORMAT}. Update avsep or export again."
        )
    if not card.class_path.startswith(ALLOWED_MODULES):
        raise WeightsError(
            f"{path} asks for class {card.class_path!r}; only classes under {ALLOWED_MODULES} are loaded. "
            "Do not use this file unless you trust where it comes from."
        )
    return card


def load_model(name_or_path: str | Path, device: str = "cpu") -> tuple[Model, Card]:
    """Rebuild a model for inference, in single precision on `device`."""
    from safetensors.torch import load_file

    path = find_weights(name_or_path)
    card = read_card(path)
    module, _, name = card.class_path.rpartition(".")
    try:
        model: Model = getattr(importlib.import_module(module), name)(**card.init_args)
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    except Exception as error:
        raise WeightsError(
            f"the weights in {path} do not fit their own description ({card.class_path}): {error}. The file is damaged."
        ) from error
    return model.eval().to(device), card


def _names() -> list[str]:
    return sorted(p.name.removesuffix(".safetensors") for p in BUNDLED.iterdir() if p.name.endswith(".safetensors"))
