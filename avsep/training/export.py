"""A training checkpoint to a self-describing weights file.

    python -m avsep.training.export CHECKPOINT CONFIG OUT.safetensors --lineage LINEAGE.json

CONFIG is the YAML the checkpoint was trained with; LINEAGE.json holds licence, lineage (data, mixing, schedule,
hardware, command) and scores. The model is named after the file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from avsep.checkpoint import save_model
from avsep.errors import AvsepError, WeightsError
from avsep.models.base import Model


def build(node: dict[str, Any]) -> Model:
    """The model of a configuration's class_path and init_args."""
    module, _, name = node["class_path"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**node["init_args"])


def export(checkpoint: Path, config: Path, out: Path, about: dict[str, Any]) -> Model:
    """Write the model of a checkpoint to `out`. about: licence, lineage, scores and, for synchrony, slope and bias."""
    import torch
    import yaml

    node = yaml.safe_load(config.read_text())["model"]["init_args"]["model"]
    model = build(node)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    weights = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(f"{checkpoint} was not trained with {config}: {error}") from error
    for name, value in about.get("values", {}).items():
        model.get_parameter(name).data.fill_(value)
    save_model(out, model, out.stem, about["licence"], about["lineage"], about.get("scores"))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lineage", type=Path, required=True)
    args = parser.parse_args()
    try:
        export(args.checkpoint, args.config, args.out, json.loads(args.lineage.read_text()))
    except (AvsepError, OSError) as error:
        sys.exit(f"export: error: {error}")


if __name__ == "__main__":
    main()
