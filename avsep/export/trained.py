"""A checkpoint of Lightning and the configuration beside it, back to the model that was trained."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.models.base import Model, SeparationModel
from avsep.models.build import build_model, renamed
from avsep.safe_text import first_line, one_line
from avsep.storage import documents

CONFIG = "config.yaml"
"""The name under which LightningCLI saves the configuration of a run."""

PREFIX = "model."
"""Where the tasks of avsep.training keep their model."""

HEADER = "avsep_model"
"""Where a checkpoint of avsep.training says what builds its model, class_path and init_args, and the level of its
estimates."""

COMPILED = "_orig_mod."
"""What torch.compile puts before the names of the weights."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A model as a checkpoint left it.

    config: the run's configuration, empty where the file (config_path) was not found. averaged: these are the averaged
    weights (EMA) rather than the last step's. mean_with: other checkpoints that are part of them.
    """

    model: Model
    config: dict[str, Any]
    config_path: Path | None
    steps: int
    epochs: int
    averaged: bool
    mean_with: tuple[str, ...] = ()


def read_trained(checkpoint: Path, config: Path | None = None, *, average: bool = True) -> Trained:
    """Rebuild the model of a checkpoint, in single precision, for inference.

    checkpoint: a file written by Lightning; it is read with torch's weights_only, so it runs no code. config: the YAML
    it was trained with; by default the checkpoint's own word for the model, or the one that LightningCLI saved beside
    it. average: take the averaged weights where the checkpoint holds both.

    Raises WeightsError naming the file, the key and what was expected.
    """
    saved = _load(checkpoint)
    state, averaged = _state(saved, checkpoint, average)
    own = saved.get(HEADER)
    if not (isinstance(own, Mapping) and own.keys() >= {"class_path", "init_args"}):
        own = None
    source: Path | None
    try:
        source = config or find_config(checkpoint)
    except WeightsError:
        if own is None:
            raise
        source = None
    document = read_yaml(source) if source else {}
    if own is not None and config is None:
        class_path, init_args = own["class_path"], own["init_args"]
        said_by = checkpoint
    else:
        assert source is not None
        class_path, init_args = model_node(document, source)
        said_by = source
    try:
        model = build_model(class_path, init_args)
    except WeightsError as error:
        raise WeightsError(f"{said_by}: {error}") from error
    try:
        load_weights(model, renamed(state, class_path), "the checkpoint")
    except WeightsError as error:
        raise WeightsError(
            f"{checkpoint} was not trained with {said_by}: {error} Give the YAML it was trained with as --config."
        ) from error
    if own is not None and isinstance(model, SeparationModel) and own.get("level") == "free":
        model.contract = replace(model.contract, level="free")
    steps, epochs = int(saved.get("global_step", 0)), int(saved.get("epoch", 0))
    return Trained(model.eval(), document, source, steps, epochs, averaged)


def mean_of(trained: Sequence[Trained], checkpoints: Sequence[Path]) -> Trained:
    """The first of several trainings with the mean of all their weights: a model soup (Wortsman et al., 2022), for runs
    that began with the same weights. Raises WeightsError where they are not of one model."""
    first = trained[0]
    kinds = [(one.model.class_path, one.model.init_args) for one in trained]
    for kind, checkpoint in zip(kinds, checkpoints, strict=True):
        if kind != kinds[0]:
            raise WeightsError(
                f"{checkpoint} is {_short(*kind)}, and {checkpoints[0]} is {_short(*kinds[0])}: they have no mean. "
                "Give checkpoints of one model."
            )
    states = [one.model.state_dict() for one in trained]
    for name, value in states[0].items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name] for state in states]).mean(dim=0))
    return replace(first, mean_with=tuple(map(str, checkpoints[1:])))


def _short(class_path: str, init_args: dict[str, Any]) -> str:
    return f"{class_path.rpartition('.')[2]}({', '.join(f'{key}={value}' for key, value in init_args.items())})"


def find_config(checkpoint: Path) -> Path:
    """The configuration LightningCLI saved for a checkpoint: in its folder, the one above, or the newest of the logs
    there. Raises WeightsError where there is none."""
    run = checkpoint.absolute().parent.parent
    for folder in (checkpoint.absolute().parent, run):
        if (folder / CONFIG).is_file():
            return folder / CONFIG
    logged = [*run.glob(f"*/{CONFIG}"), *run.glob(f"*/version_*/{CONFIG}")]
    if not logged:
        raise WeightsError(
            f"there is no {CONFIG} beside {checkpoint} (looked in its folder, in {run} and in the logs there). "
            "Give the YAML it was trained with as --config."
        )
    return max(logged, key=lambda path: path.stat().st_mtime)


def _load(checkpoint: Path) -> dict[str, Any]:
    if not checkpoint.is_file():
        kind = "a folder (a sharded checkpoint must be consolidated first)" if checkpoint.is_dir() else "not there"
        raise WeightsError(f"no checkpoint: {checkpoint} is {kind}. Give a .ckpt file that avsep fit wrote.")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{checkpoint} is no checkpoint of tensors and plain values, so it was not loaded: what else it holds could"
            " run code. Give a .ckpt file that avsep fit wrote."
        ) from error
    except Exception as error:  # a damaged file makes torch fail in every way
        raise WeightsError(
            f"{checkpoint} cannot be read as a checkpoint ({first_line(error)}). It is damaged, or was not"
            " written to its end; take another one."
        ) from error
    if not isinstance(saved, dict) or not isinstance(saved.get("state_dict"), Mapping):
        raise WeightsError(f"{checkpoint} holds no state_dict. Give a .ckpt file that avsep fit wrote.")
    return saved


def _state(saved: dict[str, Any], checkpoint: Path, average: bool) -> tuple[dict[str, Tensor], bool]:
    """Weights by the model's own names, and whether they are averaged.

    Lightning's WeightAveraging saves the average as the state and keeps the last step's weights beside it.
    """
    averaged = "averaging_state" in saved
    state = saved["state_dict"] if average or not averaged else saved["current_model_state"]
    weights = {
        key.removeprefix(PREFIX).removeprefix(COMPILED): value for key, value in state.items() if key.startswith(PREFIX)
    }
    if not weights:
        begins = ", ".join(sorted({key.partition(".")[0] for key in state})) or "nothing"
        raise WeightsError(f"{checkpoint} holds no weights under {PREFIX!r} (but: {begins}). It is not of avsep fit.")
    return weights, averaged and average


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML document; empty where it is no mapping. Raises WeightsError where it cannot be read."""
    try:
        document = documents.read_yaml(path)
    except OSError as error:
        raise WeightsError(f"the configuration {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not YAML: {one_line(error)}.") from error
    return document if isinstance(document, dict) else {}


def model_node(document: dict[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """class_path and init_args at model.init_args.model (of the task's model). Raises WeightsError where there are
    none."""
    node: Any = document
    for key in ("model", "init_args", "model"):
        node = node.get(key) if isinstance(node, dict) else None
    if not isinstance(node, dict) or not isinstance(node.get("class_path"), str):
        raise WeightsError(
            f"{path} names no class at model.init_args.model.class_path. Give the YAML that avsep fit was run with."
        )
    return node["class_path"], node.get("init_args") or {}
