"""Every loss goes through a training step of the task, and every separation model has a small configuration that does:
found by itself, so that none is forgotten."""

from __future__ import annotations

import contextlib
import copy
import functools
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
from tiny_training import write_config

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
    if path not in smoke_nodes():
        pytest.fail(f"no configs/*_smoke.yaml trains {path}; add one, small enough to learn something in a minute")
    return copy.deepcopy(smoke_nodes()[path])


@functools.cache
def smoke_nodes() -> dict[str, dict[str, Any]]:
    """By the class of the model; of several files of a class the first one."""
    nodes: dict[str, dict[str, Any]] = {}
    for file in sorted(CONFIGS.rglob("*_smoke.yaml")):
        node = yaml.load(file.read_text(), yaml.CSafeLoader)["model"]
        node["init_args"].pop("warm_start", None)  # weights of another training are not there
        nodes.setdefault(node["init_args"]["model"]["class_path"], node)
    return nodes


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


def test_every_model_has_a_small_configuration():
    """Of which tests/test_configs.py takes a step."""
    for kind in MODELS:
        if required(kind) or list(kind().parameters()):  # else there is nothing to train
            assert smoke_node(kind)["class_path"] == "avsep.training.separation.SeparationTask"


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
