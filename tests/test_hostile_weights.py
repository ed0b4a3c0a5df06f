"""Weights files that ask for more than they hold: refused before modules are built or memory is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from largest_tensor import Largest
from safetensors.torch import save_file

from avsep.checkpoint import load_model, read_card
from avsep.errors import WeightsError

CONV = "avsep.models.conv_tasnet.ConvTasNet"
LIMIT = 20_000_000


def write(path: Path, class_path: str, **init_args: Any) -> Path:
    header = {"format": 1, "name": "x", "class_path": class_path, "init_args": init_args, "parameters": 3}
    header |= {"licence": "MIT", "lineage": {}, "scores": {}}
    save_file({"a": torch.zeros(1)}, path, metadata={"avsep": json.dumps(header)})
    return path


@pytest.mark.parametrize(
    ("class_path", "init_args"),
    [
        (CONV, {"blocks": 10**9}),
        (CONV, {"blocks": 1e9}),
        (CONV, {"repeats": 10**9}),
        (CONV, {"repeats": 10**9, "filters": 1, "bottleneck": 1, "hidden": 1, "blocks": 1}),
        (CONV, {"filters": 10**9}),
        ("avsep.models.furcanext.FurcaPa", {"repeats": 10**9}),
        ("avsep.models.mulcat.MulCatDPRNN", {"blocks": 10**9}),
        ("avsep.models.gammatone_tasnet.GammatoneTasNet", {"repeats": 10**9}),
    ],
    ids=lambda value: str(value).rpartition(".")[2],
)
def test_what_a_file_asks_for_is_bounded_by_what_it_holds(
    tmp_path: Path, class_path: str, init_args: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.safetensors", class_path, **init_args)
    with Largest() as largest, pytest.raises(WeightsError):
        load_model(path)
    assert largest.numbers <= LIMIT


def test_modules_are_bounded_by_the_tensors_of_the_file(tmp_path: Path) -> None:
    """Thousands of tiny layers take little memory, but time."""
    path = write(tmp_path / "a.safetensors", "avsep.models.furcanext.FurcaPa", repeats=10**9)
    with pytest.raises(WeightsError, match=r"more than the [\d,]+ in 1,004 allowed here"):
        load_model(path)


@pytest.mark.parametrize("levels", [60, 5_000, 100_000])
def test_a_header_that_is_nested_without_end(tmp_path: Path, levels: int) -> None:
    text = '{"format": 1, "name": ' + "[" * levels + "]" * levels + "}"
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata={"avsep": text})
    with pytest.raises(WeightsError, match="no avsep header that can be read"):
        read_card(tmp_path / "a.safetensors")
