"""Every loss and every separation model goes through a training step of the task: found by itself, so that none is
forgotten."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import nn

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")

from largest_tensor import Largest
from tiny_models import Everything
from tiny_training import CUES, write_config

import avsep.losses
import avsep.models
from avsep.errors import WeightsError
from avsep.losses import DeepClustering, MaskLoss, Objective
from avsep.models.base import SeparationModel
from avsep.models.build import build_model
from avsep.training.cli import FitCLI

ROOM = 3_000_000
"""Numbers that a small model may have."""
CONFIGS = Path(__file__).parents[1] / "configs"

MSE = {"class_path": "avsep.losses.MaskMse"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "GuidedEmbeddings": {"classifier": {"class_path": "stub_models.TwoBands"}},
    "OnLogits": {"name": "class"},
    "OnMasks": {"loss": MSE},
    "WeightedSum": {"objectives": [{"class_path": "avsep.losses.OnStages"}, {"class_path": "avsep.losses.MixIT"}]},
    "TargetSpeaker": {"frame": 100},
}
"""Of losses that need some, or that have defaults too large for a tiny item."""


def classes(package: Any, base: type) -> list[type]:
    """Public subclasses that the modules of a package define, without those that only others derive from."""
    found = set()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            is_own = inspect.isclass(value) and value.__module__ == module.name and not name.startswith("_")
            if is_own and issubclass(value, base) and value is not base and not inspect.isabstract(value):
                found.add(value)
    return sorted((c for c in found if c.forward is not nn.Module.forward), key=lambda c: c.__name__)


LOSSES, MODELS = classes(avsep.losses, nn.Module), classes(avsep.models, SeparationModel)


def required(kind: type) -> list[str]:
    """Names of the arguments that a class cannot be built without."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def smoke_node(kind: type) -> dict[str, Any]:
    """The part of a *_smoke.yaml of configs that trains a model of this class."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    for file in sorted(CONFIGS.rglob("*_smoke.yaml")):
        node = yaml.safe_load(file.read_text())["model"]
        if node["init_args"]["model"]["class_path"] == path:
            node["init_args"].pop("warm_start", None)  # weights of another training are not there
            return node
    pytest.fail(f"no configs/*_smoke.yaml trains {path}; add one, small enough to learn something in a minute")


def objective_node(kind: type) -> dict[str, Any]:
    """What a configuration says to train with this loss."""
    arguments = ARGUMENTS.get(kind.__name__, {})
    if missing := [name for name in required(kind) if name not in arguments]:
        pytest.fail(f"{kind.__name__} needs {', '.join(missing)}; add tiny ones to ARGUMENTS in {Path(__file__).name}")
    node = {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}
    for base, wrapper in ((MaskLoss, "OnMasks"), (DeepClustering, "OnEmbeddings")):
        if issubclass(kind, base):
            return {"class_path": f"avsep.losses.{wrapper}", "init_args": {"loss": node}}
    return node


def step(folder: Path, **changes: Any) -> None:
    """One step of training and one batch of validation."""
    cli = FitCLI(["--config", str(write_config(folder, **changes, trainer__fast_dev_run=1))])
    before = {name: value.detach().clone() for name, value in cli.model.named_parameters()}
    cli.train(lambda text: None)
    metrics = cli.trainer.callback_metrics
    assert metrics["train_loss"].isfinite()
    assert metrics["si_snri"].isfinite()
    assert any((before[name] != value).any() for name, value in cli.model.named_parameters())


def test_there_are_some():
    assert {c.__name__ for c in LOSSES} >= {
        "NegativeSnr",
        "PermutationInvariant",
        "MaskMse",
        "DeepClustering",
        "OnStages",
    }
    assert {c.__name__ for c in MODELS} >= {"ConvTasNet", "AVConvTasNet", "MaskingModel"}
    assert Objective not in LOSSES
    assert MaskLoss not in LOSSES


def test_a_class_that_was_forgotten_is_named():
    class Needy(nn.Module):
        def __init__(self, table: dict) -> None:
            super().__init__()

    with pytest.raises(
        pytest.fail.Exception, match="Needy needs table; add tiny ones to ARGUMENTS in test_every_class"
    ):
        objective_node(Needy)
    with pytest.raises(pytest.fail.Exception, match=r"no configs/\*_smoke.yaml trains tiny_models.Everything; add one"):
        smoke_node(Everything)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_every_loss_takes_a_step(kind, tmp_path):
    objective = objective_node(kind)
    embeds = objective["class_path"].endswith(("OnEmbeddings", "OnAttractors"))
    model = "Clusters" if embeds else "Everything"
    model_node = {"class_path": f"tiny_models.{model}"}
    step(tmp_path, model__init_args__model=model_node, model__init_args__objective=objective)


# test_configs takes one of each smoke configuration in the fast tests.
@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_model_takes_a_step(kind, tmp_path):
    if not required(kind) and not list(kind().parameters()):
        return  # nothing to train
    task = smoke_node(kind)
    contract = build_model(**task["init_args"]["model"]).contract
    if unknown := [cue for cue in contract.cues if cue not in CUES]:
        pytest.fail(f"{kind.__name__} needs {', '.join(unknown)}; add what makes it to CUES in tiny_training.py")
    data = {"channels": contract.channels[0], "cues": list(contract.cues)}
    if contract.order == "named":
        data["sources"] = contract.sources
    step(tmp_path, model=task, data__init_args=data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in MODELS if not required(kind)], ids=lambda kind: kind.__name__)
def test_a_huge_number_is_refused_or_costs_nothing(kind):
    path = f"{kind.__module__}.{kind.__qualname__}"
    small = smoke_node(kind)["init_args"]["model"].get("init_args", {}) if kind.paper_args else {}
    numbers = [p.name for p in inspect.signature(kind).parameters.values() if type(p.default) in (int, float)]
    for name in numbers:
        tracemalloc.start()
        try:
            with Largest() as largest, contextlib.suppress(WeightsError):
                build_model(path, small | {name: 60_000_001}, most_numbers=ROOM)
            assert tracemalloc.get_traced_memory()[1] < 20_000_000, name
        finally:
            tracemalloc.stop()
        assert largest.numbers <= ROOM, name
