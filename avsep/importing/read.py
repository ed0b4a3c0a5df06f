"""Checkpoints of other projects, read without running any code that they hold."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.torch_version import TorchVersion

from avsep.errors import WeightsError

Parts = dict[str, Any]
"""What the files of a source hold, by their names without what follows the last dot."""
State = Mapping[str, Tensor]

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".th", ".tar", ".safetensors")


def read_parts(source: Path) -> Parts:
    """Of a file itself, of a folder all checkpoints in it. Raises WeightsError for what holds none, is damaged or holds
    more than tensors and plain values."""
    if not source.is_dir():
        return {source.stem: read_torch(source)}
    files = [file for file in sorted(source.iterdir()) if file.suffix in SUFFIXES]
    if not files:
        raise WeightsError(f"{source} holds no checkpoint ({', '.join(SUFFIXES)}).")
    return {file.stem: read_torch(file) for file in files}


def read_torch(path: Path) -> Any:
    """What a file of torch.save, or of safetensors, holds."""
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # A text that some note as the version of torch.
        with torch.serialization.safe_globals([TorchVersion]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path} was not loaded: it is damaged, or holds more than tensors and plain values ({reason}). Give the "
            "file as it was published."
        ) from error


def state_of(content: Any, *places: str) -> State | None:
    """The tensors by name of a checkpoint, where they lie in it at one of these places or are all of it."""
    for place in places:
        if isinstance(content, Mapping) and isinstance(content.get(place), Mapping):
            content = content[place]
            break
    if not isinstance(content, Mapping):
        return None
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors if tensors and all(isinstance(name, str) for name in tensors) else None


def single(parts: Parts) -> Any:
    """The content of the only file; None where there are several."""
    return next(iter(parts.values())) if len(parts) == 1 else None


def count(state: State, start: str) -> int:
    """How many numbers follow a beginning of names."""
    return len({name[len(start) :].partition(".")[0] for name in state if name.startswith(start)})


def renamed(name: str, beginnings: Mapping[str, str]) -> str:
    """A name with the first of these beginnings that it has replaced by what it is called here."""
    old = next((begin for begin in beginnings if name.startswith(begin)), None)
    return name if old is None else beginnings[old] + name[len(old) :]


def fitted(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the shape they have here, where dimensions of length 1 are all that differs: kernels of 1x1
    convolutions have one or two of them elsewhere."""
    return {name: t.reshape(own[name].shape) if _same(t, own.get(name)) else t for name, t in tensors.items()}


def _same(tensor: Tensor, own: Tensor | None) -> bool:
    return own is not None and [n for n in tensor.shape if n > 1] == [n for n in own.shape if n > 1]
