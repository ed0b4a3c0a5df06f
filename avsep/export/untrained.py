"""A model that has no weights, from the YAML that describes it."""

from __future__ import annotations

from pathlib import Path

from avsep.errors import UsageError, WeightsError
from avsep.export.trained import Trained, model_node, read_yaml
from avsep.models.build import ALLOWED_MODULES, build_model


def read_untrained(config: Path) -> Trained:
    """Build the model at `model` of a YAML, or that of a training's configuration.

    Raises UsageError for a model with weights, WeightsError for a YAML that builds none.
    """
    document = read_yaml(config)
    node = document.get("model")
    if isinstance(node, dict) and str(node.get("class_path")).startswith(ALLOWED_MODULES):
        class_path, init_args = node["class_path"], node.get("init_args") or {}
    else:
        class_path, init_args = model_node(document, config)
    try:
        model = build_model(class_path, init_args)
    except WeightsError as error:
        raise WeightsError(f"{config}: {error}") from error
    if model.state_dict():
        raise UsageError(
            f"{config} describes a {type(model).__name__} with {model.parameter_count:,} weights, which a training "
            f"makes. Run avsep fit --config {config} and export its checkpoint (.ckpt)"
        )
    return Trained(model.eval(), document, config, steps=0, epochs=0, averaged=False)
