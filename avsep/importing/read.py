"""Checkpoints of other projects, read without running any code that they hold."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.torch_version import TorchVersion

from avsep.errors import WeightsError
from avsep.safe_text import first_line

Parts = dict[str, Any]
"""What the files of a source hold, by their names without what follows the last dot."""
State = Mapping[str, Tensor]

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".th", ".tar", ".safetensors")


def read_parts(source: Path) -> Parts:
    """Of a file itself, of a folder all checkpoints in it. Raises WeightsError for what holds none, is damaged or holds
    more than tensors and plain values."""
    if not source.is_dir():
        return {source.stem: read_torch(source)}
    files = checkpoints_in(source)
    if not files:
        raise WeightsError(f"{source} holds no checkpoint ({', '.join(SUFFIXES)}).")
    parts: Parts = {}
    unread: list[WeightsError] = []
    for file in files:
        if file.stem in parts:
            raise WeightsError(f"{source} holds two files called {file.stem}. Leave the one that is meant.")
        try:
            parts[file.stem] = read_torch(file)
        except WeightsError as error:
            # Trainings leave other things beside the weights: counters, optimizers.
            unread.append(error)
    if not parts:
        raise unread[0]
    return parts


def checkpoints_in(folder: Path) -> list[Path]:
    """The files that are read of a folder, in the order of their names."""
    return [file for file in sorted(folder.iterdir()) if file.suffix in SUFFIXES and file.is_file()]


def read_torch(path: Path) -> Any:
    """What a file of torch.save, or of safetensors, holds."""
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}.")
    _check_size(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # A text that some note as the version of torch.
        with torch.serialization.safe_globals([TorchVersion]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch's own words say how to run what the file holds.
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"{found[1]} among it" if found else "or no checkpoint at all"
        raise WeightsError(
            f"{path} was not loaded: it holds more than tensors and plain values ({what}), which could run code. Give "
            "the file as it was published, or its state dict alone."
        ) from error
    except Exception as error:  # a damaged file makes readers fail in every way
        reason = first_line(error)
        raise WeightsError(f"{path} is damaged ({reason:.200}). Give the file as it was published.") from error


def _check_size(path: Path) -> None:
    """A checkpoint is not compressed, so that its size says how much it holds. Raises WeightsError for one that is."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is damaged ({error}). Give the file as it was published.") from error
    if packed:
        raise WeightsError(f"{path} holds compressed data ({packed[0]:.100}), which no checkpoint does.")


def numbers_in(content: Any) -> int:
    """Of all tensors of a content. Raises WeightsError for one that claims more than it holds, or has no values."""
    if isinstance(content, Tensor):
        if content.layout != torch.strided or content.is_meta:
            raise WeightsError("it holds a tensor without values of its own.")
        if content.numel() * content.element_size() > content.untyped_storage().nbytes():
            raise WeightsError(f"it holds a tensor of {tuple(content.shape)} without as many values.")
        return content.numel()
    if isinstance(content, Mapping):
        return sum(map(numbers_in, content.values()))
    return sum(map(numbers_in, content)) if isinstance(content, list | tuple) else 0


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
