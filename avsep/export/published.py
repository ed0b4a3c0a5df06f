"""Weights that others published as torch checkpoints, read without running code of the file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from avsep.errors import WeightsError


def read_checkpoint(checkpoint: Path, wanted: str) -> Any:
    """What a checkpoint holds. wanted: what to give, for messages. Raises WeightsError for a file that is not there, is
    damaged or holds more than tensors and plain values."""
    if not checkpoint.is_file():
        raise WeightsError(f"no checkpoint at {checkpoint}. Give {wanted}.")
    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"{checkpoint} was not loaded: it is damaged, or holds more than tensors and plain values ({reason}). Give "
            f"{wanted} as it was published."
        ) from error
