"""Published checkpoints of other projects, read without running any code that they hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from avsep.errors import WeightsError


def read_torch(path: Path, advice: str) -> Any:
    """What a file of torch.save holds: tensors and plain values. advice: a sentence that says which file to give.

    Raises WeightsError for a file that is missing, damaged or holds other objects.
    """
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}. {advice}")
    try:
        # A text that some note as the version of torch.
        with torch.serialization.safe_globals([TorchVersion]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{path} was not loaded: it is damaged, or holds more than tensors and plain values ({reason}). {advice}"
        ) from error


def renamed(name: str, beginnings: dict[str, str]) -> str:
    """A name with the first of these beginnings that it has replaced by what it is called here."""
    old = next((begin for begin in beginnings if name.startswith(begin)), "")
    return beginnings[old] + name[len(old) :] if old else name
