"""What every task of training shares: frozen parts, headers, metrics, averages, and messages for what does not fit."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")

from tiny_models import Clusters, Everything, TwoMicrophones
from tiny_training import TINY, TINY_LIP, TINY_SYNCHRONY, Stopped, TinyTalking, write_config
from torch.utils.data import default_collate

from avsep.errors import TrainingError, UsageError
from avsep.export.trained import read_trained
from avsep.losses import MaskMse, OnMasks
from avsep.models.auxiva import AuxIVA
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.masking import MaskingModel
from avsep.models.synchrony import Synchrony
from avsep.training.cli import FitCLI
from avsep.training.optimizers import MuonAdam
from avsep.training.schedules import OneCycle, Plateau, Stepwise
from avsep.training.separation import SeparationTask

EMA = {"class_path": "avsep.training.averaging.AveragedWeights", "init_args": {"decay": 0.5}}
LIPS = {
    "model__init_args__model__class_path": "avsep.models.av_conv_tasnet.AVConvTasNet",
    "model__init_args__model__init_args__lip": TINY_LIP,
    "data__init_args__cues": ["lips"],
}
SYNCHRONY = {
    "model": {
        "class_path": "avsep.training.synchrony.SynchronyTask",
        "init_args": {
            "model": {"class_path": "avsep.models.synchrony.Synchrony", "init_args": TINY_SYNCHRONY},
        },
    },
    "data": {"class_path": "tiny_training.TinyTalking"},
    "trainer__max_epochs": -1,
    "trainer__max_steps": 6,
}
SIZES = {"filters": 33, "bottleneck": 8, "hidden": 8, "skip": 0, "kernel": 3, "blocks": 1, "repeats": 1, "sources": 2}
PARTS = {
    "encoder": {"class_path": "avsep.models.parts.stft.StftEncoder", "init_args": {"window": 64, "stride": 16}},
    "separator": {"class_path": "avsep.models.separators.conv_tasnet.TemporalConvNet", "init_args": SIZES},
    "decoder": {"class_path": "avsep.models.parts.stft.StftDecoder", "init_args": {"window": 64, "stride": 16}},
}
NESTED = {"model__init_args__model": {"class_path": "avsep.models.masking.MaskingModel", "init_args": PARTS}}


def train(folder: Path, **changes: Any) -> FitCLI:
    folder.mkdir(exist_ok=True)
    cli = FitCLI(["--config", str(write_config(folder, **changes))])
    cli.train(lambda text: None)
    return cli


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)


# ---- frozen parts ----


@pytest.mark.slow
def test_frozen_parts_stay_as_they_are(tmp_path):
    frozen = ["cue_encoder", "separator.repeats_before"]
    cli = FitCLI(
        ["--config", str(write_config(tmp_path, **LIPS, model__init_args__freeze=frozen, trainer__max_steps=4))]
    )
    before = copy.deepcopy(cli.model.model.state_dict())
    cli.train(lambda text: None)
    after = cli.model.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not [name for name in moved if name.startswith(tuple(frozen))]
    assert any("running_mean" in name for name in before if name.startswith("cue_encoder"))
    (optimizer,) = last(tmp_path)["optimizer_states"]
    trained = sum(p.requires_grad for p in cli.model.parameters())
    assert len(optimizer["param_groups"][0]["params"]) == trained < len(list(cli.model.parameters()))
    cli.model.train()
    assert cli.model.model.separator.training
    assert not any(module.training for module in cli.model.model.cue_encoder.modules())


def test_freezing_what_is_not_there_or_everything():
    model = ConvTasNet(**TINY)
    with pytest.raises(
        UsageError, match="freeze names 'lips', which ConvTasNet has not; it has encoder, separator, dec"
    ):
        SeparationTask(model, freeze=["lips"])
    with pytest.raises(UsageError, match="freeze leaves nothing to train; name fewer modules"):
        SeparationTask(model, freeze=["encoder", "separator", "decoder"]).configure_optimizers()


def test_a_model_without_weights_is_not_trained():
    with pytest.raises(UsageError, match="AuxIVA has no weights, so there is nothing to train; use it as it is"):
        SeparationTask(AuxIVA()).configure_optimizers()


# ---- one loop for all tasks ----


@pytest.mark.slow
def test_the_objective_of_the_documentation_is_read(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    objective = yaml.safe_load(block)["objective"]
    cli = train(tmp_path, **NESTED, model__init_args__objective=objective, trainer__fast_dev_run=1)
    assert [type(part).__name__ for part in cli.model.objective.objectives] == ["OnEstimates", "OnMasks"]


@pytest.mark.slow
def test_synchrony_trains_as_with_its_own_loop(tmp_path):
    """AdamW with decay 0.02 under OneCycleLR, gradients clipped to 5."""
    cli = FitCLI(["--config", str(write_config(tmp_path, **SYNCHRONY))])
    task = copy.deepcopy(cli.model)
    cli.train(lambda text: None)
    optimizer = torch.optim.AdamW(task.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, 6)
    batches = iter(TinyTalking().batches())
    for _ in range(6):
        batch = next(batches)
        pairs, moved = task.similarity(batch)
        scale, target = task.scale.exp().clamp(max=60), torch.arange(len(pairs))
        loss = torch.nn.functional.cross_entropy(scale * torch.cat([pairs, moved[:, None]], 1), target)
        loss = (loss + torch.nn.functional.cross_entropy(scale * pairs.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    for name, value in task.state_dict().items():
        torch.testing.assert_close(cli.model.state_dict()[name], value, msg=name)


@pytest.mark.slow
def test_synchrony_has_a_header_a_best_checkpoint_and_a_guard(tmp_path):
    cli = train(tmp_path, **SYNCHRONY)
    assert set(cli.trainer.callback_metrics) >= {"two_way", "against_shift", "own", "train_right", "gradient_norm"}
    assert "two_way=" in cli.best
    assert isinstance(read_trained(Path(cli.best)).model, Synchrony)
    with pytest.raises(
        TrainingError, match=r"the loss is not a finite number at step 1, .*The audio of number 1 holds NaN"
    ):
        train(tmp_path / "broken", **SYNCHRONY, data__init_args={"broken": 5})


@pytest.mark.slow
def test_synchrony_goes_on_exactly(tmp_path):
    whole = train(tmp_path / "whole", **SYNCHRONY)
    (tmp_path / "cut").mkdir()
    config = str(write_config(tmp_path / "cut", **SYNCHRONY, checkpoint_every=2))

    def stop(batch: Any, index: int) -> None:
        if index == 5:
            raise Stopped

    cli = FitCLI(["--config", config])
    cli.model.on_train_batch_start = stop
    with pytest.raises(Stopped):
        cli.train(lambda text: None)
    assert last(tmp_path / "cut")["global_step"] == 4
    cli = FitCLI(["--config", config, "--ckpt_path", "last"])
    cli.train(lambda text: None)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(cli.model.state_dict()[name], value), name


def test_synchrony_names_what_a_batch_lacks(tmp_path):
    config = SYNCHRONY | {"data": {"class_path": "tiny_training.TinyData", "init_args": {"cues": ["lips"]}}}
    with pytest.raises(
        UsageError, match="SynchronyTask needs audio, shifted, and a batch holds mixture, sources, labels"
    ):
        train(tmp_path, **config)


def test_a_cycle_needs_an_end(tmp_path):
    schedule = {"class_path": "avsep.training.schedules.OneCycle"}
    with pytest.raises(UsageError, match=r"the schedule OneCycle needs an end: set trainer.max_steps"):
        train(tmp_path, model__init_args__schedule=schedule)
    with pytest.raises(UsageError, match=r"rise is 1.5; it must lie between 0 and 1"):
        OneCycle(1.5)


def test_a_cycle_of_several_optimizers_keeps_their_ratio():
    optimizer = MuonAdam(2.0).build(ConvTasNet(**TINY).parameters(), 0.01, 0.0)
    scheduler = OneCycle().configure(optimizer, "si_snri", 10)["scheduler"]
    rates = []
    for _ in range(10):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert all(muon == pytest.approx(2 * adam) for muon, adam in rates)
    assert max(rates)[0] == pytest.approx(0.02)
    assert rates[-1][0] < 1e-4 * max(rates)[0]


def test_a_rate_falls_at_its_steps():
    optimizer = torch.optim.Adam(ConvTasNet(**TINY).parameters(), 0.01)
    entry = Stepwise([3, 5], [0.5, 0.1]).configure(optimizer, "si_snri", -1)
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        entry["scheduler"].step()
    assert entry["interval"] == "step"
    assert rates == pytest.approx([0.01] * 3 + [0.005] * 2 + [0.001] * 2)


@pytest.mark.parametrize(
    ("steps", "factors", "message"),
    [
        ([], [], r"steps are \[\] and factors \[\]; expected rising steps of 1 or more, and as many factors"),
        ([5, 3], [0.5, 0.1], r"steps are \[5, 3\]"),
        ([0], [0.5], r"steps are \[0\]"),
        ([3, 5], [0.5], r"factors \[0.5\]; expected rising steps of 1 or more, and as many factors"),
        ([3], [0.0], r"factors are \[0.0\]; they must be above 0"),
    ],
)
def test_steps_that_make_no_sense(steps, factors, message):
    with pytest.raises(UsageError, match=message):
        Stepwise(steps, factors)


def test_a_plateau_holds_the_rate_at_first():
    """Also where the state of the first epochs is loaded."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], 0.8)
    plateau = Plateau(halve_after=2, factor=0.25, hold=3)
    scheduler = plateau.configure(optimizer, "si_snri", -1)["scheduler"]
    rates = []
    for epoch in range(7):
        if epoch == 2:
            again = plateau.configure(optimizer, "si_snri", -1)["scheduler"]
            again.load_state_dict(scheduler.state_dict())
            scheduler = again
        plateau.validated(scheduler, 1.0)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.8] * 4 + [0.2] * 2 + [0.05])
    with pytest.raises(UsageError, match="hold is -1; it must be 0 or more epochs"):
        Plateau(hold=-1)


# ---- metrics ----


@pytest.mark.slow
def test_means_go_over_items_that_have_a_value(tmp_path):
    """Whatever the sizes of the batches: of five items one has nothing to improve."""
    cli = train(tmp_path, data__init_args__alone=[0], trainer__max_epochs=1)
    task = cli.model.eval()
    items = [default_collate([cli.datamodule.dev_set[number]]) for number in range(4)]
    values = torch.stack([task.measure(item)[0]["si_snri"][0] for item in items])
    assert values.isnan().tolist() == [True, False, False, False]
    assert float(cli.trainer.callback_metrics["si_snri"]) == pytest.approx(float(values[1:].mean()), abs=1e-4)


@pytest.mark.slow
def test_a_validation_with_nothing_to_improve_ends_no_training(tmp_path):
    cli = train(tmp_path, data__init_args__alone=[0, 1, 2, 3], trainer__max_epochs=2)
    assert cli.trainer.global_step == 12
    assert cli.trainer.callback_metrics["si_snri"].isnan()
    assert cli.trainer.callback_metrics["valid_loss"].isfinite()


@pytest.mark.slow
def test_validation_goes_by_what_a_model_does_in_use(tmp_path):
    objective = {"class_path": "avsep.losses.OnEmbeddings"}
    model = {"class_path": "tiny_models.Clusters"}
    cli = train(tmp_path, model__init_args__model=model, model__init_args__objective=objective, trainer__max_epochs=1)
    assert isinstance(cli.model.model, Clusters)
    assert cli.model.model.batches_separated == 3  # one before the training
    assert cli.trainer.callback_metrics["si_snri"].isfinite()


# ---- averaged weights, copies, headers of nested parts ----


@pytest.mark.slow
def test_a_model_of_nested_parts_is_averaged_copied_and_rebuilt(tmp_path):
    cli = train(tmp_path, **NESTED, trainer__callbacks=[EMA], trainer__max_epochs=1)
    model, saved = cli.model.model, last(tmp_path)
    assert isinstance(model, MaskingModel)
    assert saved["avsep_model"]["init_args"]["encoder"] == PARTS["encoder"] | {
        "init_args": {"window": 64, "stride": 16, "power": 0.3, "points": None}
    }
    name = "model.separator.to_masks.1.weight"
    assert not torch.equal(saved["state_dict"][name], saved["current_model_state"][name])
    mixture = torch.randn(1, 1, 1000)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.init_args == model.init_args
        assert torch.equal(again.eval()(mixture).estimates, model.eval()(mixture).estimates)
    rebuilt = read_trained(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert rebuilt.averaged
    assert torch.equal(rebuilt.model.state_dict()[name.removeprefix("model.")], saved["state_dict"][name])


@pytest.mark.slow
def test_a_checkpoint_of_other_nested_parts_names_the_option(tmp_path):
    train(tmp_path, **NESTED, trainer__max_steps=1)
    other = copy.deepcopy(NESTED)
    other["model__init_args__model"]["init_args"]["separator"]["init_args"]["hidden"] = 12
    config = write_config(tmp_path, **other, trainer__default_root_dir=str(tmp_path / "other"))
    cli = FitCLI(["--config", str(config), "--ckpt_path", str(tmp_path / "run" / "checkpoints" / "last.ckpt")])
    with pytest.raises(UsageError, match=r"model.separator.init_args.hidden is 8 in it and 12 here"):
        cli.train(lambda text: None)


# ---- what does not fit ----


def batch(channels: int = 1, sources: int = 2) -> dict[str, Any]:
    images = torch.randn(2, sources, channels, 640)
    return {"mixture": images.sum(1), "sources": images, "name": ["a", "b"]}


MISMATCHES = [
    (
        SeparationTask(TwoMicrophones()),
        batch(),
        r"TwoMicrophones takes mixtures .* with 2 channels or more, and that of the batch is \(2, 1, 640\); take data",
    ),
    (
        SeparationTask(ConvTasNet(**TINY)),
        batch() | {"mixture": torch.randn(2, 640)},
        r"ConvTasNet takes mixtures \(batch, channels, time\) with 1 channels or more, .* is \(2, 640\)",
    ),
    (
        SeparationTask(ConvTasNet(**TINY), OnMasks(MaskMse())),
        batch(),
        "ConvTasNet with OnMasks: OnMasks needs masks, but the model gives estimates",
    ),
    (
        SeparationTask(ConvTasNet(**TINY, names=["vocals", "rest"])),
        batch(sources=3),
        "ConvTasNet with OnEstimates: 2 estimates for 3 sources; in a fixed order each has its own",
    ),
    (
        SeparationTask(Everything(channels=2)),
        batch(2) | {"sources": torch.randn(2, 2, 1, 640)},
        "Everything with OnEstimates: the model gives estimates of 2 channels, the sources of the batch have 1",
    ),
]


@pytest.mark.parametrize(("task", "given", "message"), MISMATCHES)
def test_what_a_model_and_a_batch_do_not_agree_on_is_named(task, given, message):
    with pytest.raises(UsageError, match=message):
        task.losses(given)


def test_a_cue_that_is_missing_is_named(tmp_path):
    changes = LIPS | {"data__init_args__cues": []}
    with pytest.raises(
        UsageError, match="AVConvTasNet needs lips, and a batch holds mixture, sources, labels, name; take"
    ):
        train(tmp_path, **changes)


@pytest.mark.slow
def test_sources_without_a_cue_are_no_targets(tmp_path):
    """Of three sources the first two have faces."""
    cli = FitCLI(["--config", str(write_config(tmp_path, **LIPS, data__init_args__sources=3))])
    item = default_collate([cli.datamodule.train_set[number] for number in range(2)])
    mixture, cues = cli.model.inputs(item)
    targets = cli.model.targets(item, cli.model.model(mixture, **cues))
    assert targets["sources"].shape[1] == targets["labels"].shape[1] == 2
    assert torch.equal(targets["sources"], item["sources"][:, :2])
    cli.train(lambda text: None)


@pytest.mark.slow
def test_objectives_are_put_together_in_yaml(tmp_path):
    on_labels = {"class_path": "avsep.losses.OnLogits", "init_args": {"name": "class"}}
    on_masks = {"class_path": "avsep.losses.OnMasks", "init_args": {"loss": {"class_path": "avsep.losses.MaskMse"}}}
    on_stages = {"class_path": "avsep.losses.OnStages", "init_args": {"weights": [0.1, 0.1, 0.8]}}
    parts = [{"class_path": "avsep.losses.NegativeSiSnr"}, on_labels, on_masks, on_stages]
    objective = {"class_path": "avsep.losses.WeightedSum", "init_args": {"objectives": parts, "weights": [1, 1, 10, 1]}}
    cli = train(
        tmp_path,
        model__init_args__model={"class_path": "tiny_models.Everything", "init_args": {"channels": 2}},
        model__init_args__objective=objective,
        data__init_args__channels=2,
        trainer__max_epochs=1,
    )
    assert cli.model.objective.weights == [1, 1, 10, 1]
    assert cli.trainer.callback_metrics["valid_loss"].isfinite()
