"""`avsep fit`: every mode learns, results lie where they should, mistakes give one message."""

from __future__ import annotations

import csv
import functools
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")

from allowed_modules import TEST_MODULES
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import IMPORTS, TINY, TINY_LIP, write_config

from avsep.checkpoint import load_model
from avsep.cli.main import main
from avsep.errors import UsageError
from avsep.training.cli import FitCLI
from avsep.training.separation import SeparationTask

EMA = {"class_path": "avsep.training.averaging.AveragedWeights", "init_args": {"decay": 0.5}}


MODES = {
    "audio-only": {},
    "audio-visual": {
        "model__init_args__model__class_path": "avsep.models.av_conv_tasnet.AVConvTasNet",
        "model__init_args__model__init_args__lip": TINY_LIP,
        "data__init_args__cues": ["lips"],
    },
    "universal": {
        "model__init_args__model__init_args__sources": 4,
        "data__init_args__sources": 4,
        "data__init_args__epoch_items": 80,
    },
    "multi-channel": {
        "model__init_args__model": {"class_path": "tiny_models.TwoMicrophones"},
        "data__init_args__channels": 2,
        "data__init_args__alike": True,
    },
    "one of two channels": {"data__init_args__channels": 2},
    "clustering": {
        "model__init_args__model": {"class_path": "tiny_models.Clusters"},
        "model__init_args__objective": {"class_path": "avsep.losses.OnEmbeddings"},
    },
}


def fit(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(["fit", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def wrong(capsys, *arguments: str) -> str:
    """The one line that a mistake gives."""
    code, out, err = fit(capsys, *arguments)
    assert (code, out) == (2, ""), err
    assert err.count("avsep: error: ") == 1
    assert "Traceback" not in err
    message = err.splitlines()[-1]
    assert message.startswith("avsep: error: ")
    return message


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns(tmp_path, mode):
    config = write_config(tmp_path, **{"data__init_args__epoch_items": 40, "trainer__max_epochs": 2} | MODES[mode])
    losses = []
    cli = FitCLI(["--config", str(config)])
    log = cli.model.log
    cli.model.log = lambda name, value, **k: (
        losses.append(float(value.detach())) if name == "train_loss" else 0,
        log(name, value, **k),
    )
    cli.train(lambda text: None)
    assert len(losses) == cli.datamodule.epoch_items
    in_db = -1 if mode == "clustering" else -5
    assert sum(losses[-10:]) < sum(losses[:10]) + in_db
    assert math.isfinite(cli.trainer.callback_metrics["si_snri"])
    assert ("train_si_snri" in cli.trainer.callback_metrics) == (mode != "clustering")


@pytest.mark.slow
def test_a_second_channel_is_of_use_where_places_differ(tmp_path):
    """Two sources of one kind, from two places, or (delay 0) from one."""
    gains = []
    for delay in (0, 3):
        folder = tmp_path / str(delay)
        folder.mkdir()
        changes = MODES["multi-channel"] | {"data__init_args__delay": delay, "data__init_args__epoch_items": 40}
        cli = FitCLI(["--config", str(write_config(folder, **changes, trainer__max_epochs=2))])
        cli.train(lambda text: None)
        gains.append(float(cli.trainer.callback_metrics["si_snri"]))
    assert gains[0] < 1
    assert gains[1] > 5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_models_learn_the_same(tmp_path):
    """As one graph, with what a model gives at its end."""
    smallest = {"model__init_args__model__init_args__blocks": 1, "model__init_args__model__init_args__repeats": 1}
    states = []
    for name, compile in (("plain", False), ("compiled", True)):
        folder = tmp_path / name
        folder.mkdir()
        changes = smallest | {"model__init_args__compile": compile, "trainer__max_epochs": 1}
        torch._dynamo.utils.counters.clear()
        cli = FitCLI(["--config", str(write_config(folder, **changes))])
        cli.train(lambda text: None)
        states.append(cli.model.state_dict())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_compiled_weights_keep_their_names(tmp_path, monkeypatch):
    # Traced but not compiled: that would take minutes.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    changes = {"model__init_args__compile": True, "trainer__callbacks": [EMA], "trainer__max_steps": 2}
    FitCLI(["--config", str(write_config(tmp_path, **changes))]).train(lambda text: None)
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert "model.encoder.conv.weight" in saved["state_dict"]
    assert not [name for name in saved["current_model_state"] if "_orig_mod" in name]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_precisions(tmp_path, precision):
    cli = FitCLI(["--config", str(write_config(tmp_path, trainer__precision=precision, trainer__fast_dev_run=1))])
    cli.train(lambda text: None)
    assert cli.trainer.callback_metrics["train_loss"].isfinite()


def test_a_run_leaves_checkpoints_configuration_and_logs(tmp_path, capsys):
    config = write_config(tmp_path, trainer__logger=None, trainer__max_epochs=2, data__init_args__channels=2)
    code, out, err = fit(capsys, "--config", config)
    run = tmp_path / "run"
    assert code == 0, err
    assert Path(out.strip()).parent == run / "checkpoints"
    assert Path(out.strip()).name.startswith("best-epoch=")
    assert "SI-SNRi" in err
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert "lr: " not in (run / "config.yaml").read_text().splitlines()[0]
    with (run / "logs" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["si_snri"]) for r in rows if r["si_snri"]]
    assert len([r for r in rows if r["train_loss"]]) == 12
    board = EventAccumulator(str(run / "logs" / "version_0"), size_guidance={"audio": 0, "images": 0}).Reload()
    assert {"validation_0", "validation_1"} == set(board.Tags()["images"])
    assert {f"validation_0/{n}" for n in ("mixture", "source_0", "source_1", "estimate_0", "estimate_1")} < set(
        board.Tags()["audio"]
    )
    assert len(board.Audio("validation_0/estimate_0")) == 2  # each epoch
    assert len(board.Audio("validation_0/mixture")) == 1


def test_checkpoint_says_what_model_it_holds(tmp_path):
    FitCLI(["--config", str(write_config(tmp_path, trainer__max_epochs=1))]).train(lambda text: None)
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["avsep_model"]["class_path"] == "avsep.models.conv_tasnet.ConvTasNet"
    assert saved["avsep_model"]["init_args"]["hidden"] == TINY["hidden"]
    assert saved["avsep_model"]["level"] == "source"


@pytest.mark.slow
def test_a_loss_of_any_level_is_noted_to_the_weights_file(tmp_path, cli):
    loss = {"class_path": "avsep.losses.NegativeSiSnr"}
    config = write_config(tmp_path, trainer__max_epochs=1, model__init_args__objective=loss)
    FitCLI(["--config", str(config)]).train(lambda text: None)
    out = tmp_path / "mine.safetensors"
    code, _, err = cli("export", tmp_path / "run" / "checkpoints" / "last.ckpt", "-o", out)
    assert code == 0, err
    model, card = load_model(out)
    assert (model.contract.level, card.level) == ("free", "free")


@pytest.mark.slow
def test_averaged_weights_are_validated_and_saved(tmp_path):
    cli = FitCLI(["--config", str(write_config(tmp_path, trainer__callbacks=[EMA], trainer__max_epochs=1))])
    seen = []

    def keep(model: nn.Module, _) -> None:
        if not model.training:
            seen.append(model.encoder.conv.weight.detach().clone())

    cli.model.model.register_forward_pre_hook(keep)
    cli.train(lambda text: None)
    saved = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    name = "model.encoder.conv.weight"
    assert torch.equal(seen[-1], saved["state_dict"][name])
    assert not torch.equal(saved["state_dict"][name], saved["current_model_state"][name])


@pytest.mark.slow
def test_rate_is_halved_and_training_stopped_without_gain(tmp_path):
    plateau = {"class_path": "avsep.training.schedules.Plateau", "init_args": {"halve_after": 3, "stop_after": 7}}
    changes = {"model__init_args__learning_rate": 0.0, "model__init_args__schedule": plateau, "trainer__max_epochs": 50}
    cli = FitCLI(["--config", str(write_config(tmp_path, **changes, data__init_args__epoch_items=2))])
    rates = []
    cli.model.on_train_epoch_end = lambda: rates.append(cli.model.optimizers().param_groups[0]["lr"])
    cli.model.configure_optimizers, make = None, cli.model.configure_optimizers
    cli.model.configure_optimizers = lambda: _with_rate(make())
    cli.train(lambda text: None)
    # The first epoch sets the mark; after the 3rd and 6th without gain the rate is halved, after the 7th it ends.
    assert rates == [1e-12] * 3 + [5e-13] * 3 + [2.5e-13] * 2


def _with_rate(made: dict) -> dict:
    """A rate that changes no weight in single precision, so that no epoch brings a gain."""
    made["lr_scheduler"]["scheduler"].eps = 0.0
    made["optimizer"].param_groups[0]["lr"] = 1e-12
    return made


def test_defaults_are_the_seeds_schedule(tmp_path):
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("  max_epochs: 3\n", ""))
    cli = FitCLI(["--config", str(config)])
    assert (cli.trainer.max_epochs, cli.trainer.gradient_clip_val) == (100, 5.0)
    assert (cli.model.schedule.halve_after, cli.model.schedule.stop_after, cli.model.schedule.factor) == (3, 10, 0.5)


# ---- numbers that are not finite ----


def test_nan_in_an_item_stops_the_run_and_names_it(tmp_path, capsys):
    code, _, err = fit(capsys, "--config", write_config(tmp_path, data__init_args__broken=5, checkpoint_every=1))
    assert code == 1
    message = err.splitlines()[-1]
    assert "the loss is not a finite number at step 2, in 1 of 2 items of the batch: item 5." in message
    assert "The mixture of item 5 holds NaN or infinity: look at the files of that item" in message
    file = tmp_path / "run" / "not_finite_step2_rank0.pt"
    assert str(file) in message
    saved = torch.load(file, weights_only=True)
    assert saved["batch"]["name"] == ["item 4", "item 5"]
    assert saved["batch"]["mixture"][1].isnan().any()
    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(v.isfinite().all() for v in last["state_dict"].values())


def test_weights_that_grew_without_bound_are_told_from_bad_input(tmp_path, capsys):
    code, _, err = fit(capsys, "--config", write_config(tmp_path, model__init_args__learning_rate=1e20))
    assert code == 1
    assert "lower the learning rate" in err
    assert "look at the files" not in err
    assert list((tmp_path / "run").glob("not_finite_step*_rank0.pt"))


# ---- checkpoints that do not fit ----


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    FitCLI(["--config", str(write_config(folder, trainer__max_epochs=1))]).train(lambda text: None)
    return folder / "run" / "checkpoints" / "last.ckpt"


def test_checkpoint_of_another_size_names_the_option_and_the_weight(finished, tmp_path, capsys):
    config = write_config(tmp_path, model__init_args__model__init_args__hidden=12)
    err = wrong(capsys, "--config", config, "--ckpt_path", finished)
    assert f"{finished} is a checkpoint of another configuration: model.hidden is 8 in it and 12 here;" in err
    assert "model.separator.repeats_after.0.blocks.0" in err
    assert "(the first of " in err


def test_checkpoint_of_another_model_names_both(finished, tmp_path, capsys):
    err = wrong(capsys, "--config", write_config(tmp_path, **MODES["audio-visual"]), "--ckpt_path", finished)
    assert "model is avsep.models.conv_tasnet.ConvTasNet in it and avsep.models.av_conv_tasnet.AVConvTasNet here" in err


def test_checkpoint_that_is_none(tmp_path, capsys):
    config = write_config(tmp_path)
    assert "no file nowhere.ckpt. Give a .ckpt file, or 'last'" in wrong(
        capsys, "--config", config, "--ckpt_path", "nowhere.ckpt"
    )
    (tmp_path / "bad.ckpt").write_bytes(b"nothing")
    assert "bad.ckpt cannot be read as a training checkpoint" in wrong(
        capsys, "--config", config, "--ckpt_path", tmp_path / "bad.ckpt"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_last_before_there_is_one_begins_at_the_start(tmp_path, capsys):
    code, _, err = fit(capsys, "--config", write_config(tmp_path, trainer__max_epochs=1), "--ckpt_path", "last")
    assert code == 0
    assert "yet: beginning at step 0" in err


@pytest.mark.slow
def test_an_earlier_run_is_not_overwritten_unasked(finished, capsys):
    config = finished.parents[2] / "tiny.yaml"
    before = finished.read_bytes()
    err = wrong(capsys, "--config", config)
    assert f"{finished.parent} holds an earlier run (last.ckpt). Go on with it: --ckpt_path last" in err
    assert finished.read_bytes() == before
    code, _, _ = fit(capsys, "--config", config, "--overwrite", "true", "--trainer.max_epochs", "2")
    assert code == 0
    assert torch.load(finished, weights_only=True)["global_step"] == 12


# ---- configurations with mistakes ----


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model__init_args__lerning_rate", 1, "unknown key model.init_args.lerning_rate, did you mean learning_rate?"),
        ("model__init_args__model__init_args__hiden", 1, "model.init_args.model.init_args.hiden, did you mean hidden?"),
        ("model__init_args__learning_rate", "fast", "model.init_args.learning_rate is 'fast'; expected float"),
        ("trainer__max_epoch", 1, "unknown key trainer.max_epoch, did you mean max_epochs?"),
        ("trainer__precision", "bf17", "trainer.precision is 'bf17'; expected 64 or 32 or 16"),
        ("trainr__x", 1, "unknown key trainr, did you mean trainer?; the keys there are seed_everything, trainer"),
        ("model__class_path", "avsep.training.separation.SeparationTsk", "did you mean SeparationTask?"),
        ("model__class_path", "avsep.nowhere.Task", "module avsep.nowhere cannot be imported"),
        ("model__init_args__model__init_args__norm", "batch", "norm is 'batch'; it must be one of ['cLN', 'channel', "),
        ("data__init_args__batch_size", 20, "an epoch of 12 items holds no step of 20"),
        ("checkpoint_every", 0, "checkpoint_every is 0; it must be 1 or more"),
    ],
)  # fmt: skip
def test_mistakes_in_a_configuration(tmp_path, capsys, key, value, message):
    assert message in wrong(capsys, "--config", write_config(tmp_path, **{key: value}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no configuration. Give one: avsep fit --config configs/NAME.yaml"),
        (["--config", "nowhere.yaml"], "no file nowhere.yaml. The configurations of avsep are in configs/"),
        (["--config", "CONFIG", "--modle.x", "1"], "unrecognized arguments: --modle.x 1"),
        (["--config", "CONFIG", "--trainer.max_epochs", "many"], "trainer.max_epochs is 'many'; expected int"),
        (["--config", "CONFIG", "--model.model.hidden", "x"], "model.init_args.hidden is 'x'; expected int"),
        (
            ["--config", "CONFIG", "--model.model.hiden=9"],
            "model.init_args.model.init_args.hiden, did you mean hidden?",
        ),
        (["--config", "CONFIG", "--seed_everything", "x"], "seed_everything is 'x'; expected bool or int"),
        (["--config", "CONFIG", "--model.freeze", "encoder"], "model.init_args.freeze is 'encoder'; expected list"),
        (["--config", "CONFIG", "--model.objective", "avsep.losses.FixdOrder"], "did you mean FixedOrder?"),
        (["--config", "CONFIG", "--model.objective", "avsep.losses.MaskMse"], "MaskMse is no loss of waveforms"),
        (
            ["--config", "CONFIG", "--model.schedule", "OneCycle", "--model.schedule.rise", "3"],
            "built: rise is 3.0; it",
        ),
        (["--config", "CONFIG", "--model.objective.nope", "3"], "Option 'nope' is not accepted"),
    ],
)
def test_mistakes_on_the_command_line(tmp_path, capsys, arguments, message):
    config = write_config(tmp_path)
    assert message in wrong(capsys, *(str(config) if a == "CONFIG" else a for a in arguments))


def test_options_change_a_configuration(tmp_path):
    changes = [
        "--model.objective",
        "avsep.losses.OnStages",
        "--model.objective.weights",
        "[1, 2]",
        "--ckpt_path",
        "2024",
    ]
    cli = FitCLI(["--config", str(write_config(tmp_path)), "--model.model.hidden=12", *changes])
    assert (cli.model.model.init_args["hidden"], cli.model.objective.weights) == (12, [1, 2])
    assert cli.config["ckpt_path"] == "2024"


def test_a_second_file_changes_the_first(tmp_path):
    (tmp_path / "more.yaml").write_text("model: {init_args: {model: {init_args: {hidden: 12}}}}")
    files = ["--config", str(write_config(tmp_path)), "--config", str(tmp_path / "more.yaml")]
    assert FitCLI(files).model.model.init_args["hidden"] == 12
    (tmp_path / "more.yaml").write_text("model: {init_args: {model: {init_args: {hiden: 12}}}}")
    with pytest.raises(UsageError, match=r"model.init_args.model.init_args.hiden, did you mean hidden"):
        FitCLI(files)


def test_weights_to_begin_with_that_are_not_there(tmp_path, capsys):
    start = [{"weights": "nothing", "parts": {"encoder": "encoder"}}]
    err = wrong(capsys, "--config", write_config(tmp_path, model__init_args__warm_start=start))
    assert "the configuration cannot be built: unknown model 'nothing'. Bundled: " in err


def test_a_file_that_is_no_yaml(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("model: [")
    assert "bad.yaml is not YAML" in wrong(capsys, "--config", tmp_path / "bad.yaml")


def test_help_is_instant(capsys):
    code, out, err = fit(capsys, "--help")
    assert (code, err) == (0, "")
    assert "avsep fit --config FILE.yaml" in out
    loaded = (
        "import sys; from avsep.cli.main import main; main(['fit', '--help']); print(*sys.modules, file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": IMPORTS}
    done = subprocess.run([sys.executable, "-c", loaded], env=environment, capture_output=True, text=True, timeout=60)
    assert "avsep.cli.fit" in done.stderr.split()
    assert not {"torch", "lightning", "jsonargparse", "numpy"} & set(done.stderr.split())


# ---- several processes ----


def fit_in_two_processes(folder: Path, **changes: Any) -> dict[str, Any]:
    """Train with two processes on the CPU; returns last.ckpt."""
    folder.mkdir()
    options = {"trainer__strategy": "ddp", "trainer__devices": 2, "trainer__num_nodes": 1}
    config = write_config(folder, **changes, **options)
    done = subprocess.run(
        [sys.executable, "-m", "avsep", "fit", "--config", str(config), "--allow-modules", ",".join(TEST_MODULES)],
        cwd=folder, env=os.environ | {"PYTHONPATH": IMPORTS, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.slow
def test_two_processes_learn_what_one_with_twice_the_batch_learns(tmp_path):
    """Also where what the second process validates has nothing to improve: then it has no SI-SNRi of its own."""
    one = tmp_path / "one"
    one.mkdir()
    shared = {"trainer__max_epochs": 2, "data__init_args__epoch_items": 12, "data__init_args__alone": [1, 3]}
    cli = FitCLI(["--config", str(write_config(one, **shared, data__init_args__batch_size=4))])
    cli.train(lambda text: None)
    expected = torch.load(one / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    found = fit_in_two_processes(tmp_path / "two", **shared, data__init_args__batch_size=2)
    assert found["global_step"] == expected["global_step"] == 6
    for name, weight in expected["state_dict"].items():
        assert torch.allclose(found["state_dict"][name], weight, atol=1e-4), name
    scores = [best_score(checkpoint) for checkpoint in (expected, found)]
    assert scores[0] == pytest.approx(float(cli.trainer.checkpoint_callbacks[-1].best_model_score))
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)


def best_score(checkpoint: dict[str, Any]) -> float:
    """The highest SI-SNRi in validation that a checkpoint knows of."""
    (state,) = (v for k, v in checkpoint["callbacks"].items() if k.startswith("ModelCheckpoint"))
    return float(state["best_model_score"])


def test_ctrl_c_ends_with_its_exit_code(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(SeparationTask, "validation_step", interrupt)
    try:
        code, _, err = fit(capsys, "--config", write_config(tmp_path))
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further ones
    assert code == 130
    assert "interrupted" in err.splitlines()[-1]
